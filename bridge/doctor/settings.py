"""Checks of the two settings files."""

from __future__ import annotations

from pathlib import Path

from bridge.connectors.registry import Channel, load_channels
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.errors import SettingsError
from bridge.settings.files import (
    DEFAULT_CREDENTIALS,
    DEFAULT_ENDPOINTS,
    BrokerSettings,
    load_broker,
    load_credentials,
)


def check_endpoints(path: str | None) -> tuple[BrokerSettings | None, list[Finding]]:
    """Return the broker's settings, unless they are wrong."""
    try:
        broker = load_broker(path)
    except SettingsError as problem:
        return None, [error("endpoints", str(problem))]
    file = path or DEFAULT_ENDPOINTS
    if not Path(file).exists():
        return broker, [ok("endpoints", f"no {file}: defaults are used")]
    return broker, [ok("endpoints", f"{file}, namespace '{broker.namespace}'")]


def check_channels(path: str | None) -> tuple[dict[str, Channel], list[Finding]]:
    """Return the channels that can be used; a finding for each one, with its URL."""
    try:
        credentials = load_credentials(path)
    except SettingsError as problem:
        return {}, [error("credentials", str(problem))]
    file = path or DEFAULT_CREDENTIALS
    channels: dict[str, Channel] = {}
    findings: list[Finding] = []
    for key, section in credentials.items():
        try:
            loaded = load_channels({key: section}, file)
        except SettingsError as problem:
            findings.append(error("credentials", str(problem)))
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
    """Return the channel's URL, and what a start would warn of: a secret that is missing, say."""
    subject = f"channel {channel.name}"
    fix = f"see docs/channels.md, {channel.connector.name}"
    return [
        ok(subject, f"served at {channel.connector.served_at()}"),
        *(warning(subject, text, fix) for text in channel.connector.warnings()),
    ]
