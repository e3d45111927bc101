"""Checks the two settings files."""

from __future__ import annotations

from pathlib import Path

from bridge.connectors.registry import Channel, load_channels
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.errors import SettingsError
from bridge.settings.files import (
    DEFAULT_ENDPOINTS,
    BrokerSettings,
    credentials_file,
    load_broker,
    load_credentials,
)


def check_endpoints(path: str | None) -> tuple[BrokerSettings | None, list[Finding]]:
    """Return the broker's settings, None if they are wrong, and the findings."""
    try:
        broker = load_broker(path)
    except SettingsError as problem:
        return None, [error("endpoints", problem.problem, problem.fix)]
    file = path or DEFAULT_ENDPOINTS
    if not Path(file).exists():
        return broker, [ok("endpoints", f"no {file}: using the defaults")]
    return broker, [ok("endpoints", f"{file}, namespace '{broker.namespace}'")]


def check_channels(path: str | None) -> tuple[dict[str, Channel], list[Finding]]:
    """Return the valid channels, and at least one finding per channel."""
    try:
        credentials = load_credentials(path)
    except SettingsError as problem:
        return {}, [error("credentials", problem.problem, problem.fix)]
    file = credentials_file(path)
    channels: dict[str, Channel] = {}
    findings: list[Finding] = []
    if not credentials:
        findings.append(
            warning("credentials", f"{file} names no channel", "add one, such as 'rest:'")
        )
    for key, section in credentials.items():
        try:
            loaded = load_channels({key: section}, file)
        except SettingsError as problem:
            findings.append(error("credentials", problem.problem, problem.fix))
            continue
        for name, channel in loaded.items():
            if name in channels:
                findings.append(
                    error("credentials", f"{file}: {key}: there are two channels called '{name}'")
                )
            else:
                findings += about_channel(channel)
        channels |= loaded
    return channels, findings


def about_channel(channel: Channel) -> list[Finding]:
    """Return the channel's URL, and the warnings of a start, such as a missing secret."""
    subject = f"channel {channel.name}"
    fix = f"see docs/how-to/channels/{channel.connector.name}.md"
    return [
        ok(subject, f"served at {channel.connector.served_at()}"),
        *(warning(subject, text, fix) for text in (*channel.notes, *channel.connector.warnings())),
    ]
