"""What each connector's section of credentials.yml must be, and what a start warns of."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bridge.connectors.registry import load_channels, warn
from bridge.errors import SettingsError

SLACK = {"slack_token": "xoxb-1", "slack_signing_secret": "s"}
TELEGRAM = {"access_token": "1:a", "verify": "bot", "webhook_url": "https://bot.example/hook"}


@pytest.mark.parametrize(
    ("channel", "section", "named"),
    [
        ("slack", {"slack_token": "x"}, "'slack_signing_secret' is missing"),
        ("slack", {**SLACK, "slack_signing_secret": " "}, "'slack_signing_secret' is empty"),
        ("slack", {"slack_signing_secret": "s"}, "'slack_token' is missing"),
        ("slack", {**SLACK, "conversation_granularity": "user"}, "conversation_granularity"),
        ("slack", {**SLACK, "use_thread": True}, "did you mean 'use_threads'"),
        ("telegram", {"verify": "bot"}, "'access_token' is missing"),
        ("telegram", {**TELEGRAM, "access_token": "no token"}, "'access_token'"),
        ("telegram", {**TELEGRAM, "secret_token": "a b"}, "'secret_token'"),
        ("telegram", {**TELEGRAM, "secret_token": ""}, "'secret_token'"),
    ],
)
def test_a_section_that_is_wrong_is_an_error_that_names_the_key(
    channel: str, section: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        load_channels({channel: section})
    assert "xoxb-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("channel", "section", "named"),
    [
        ("slack", SLACK, []),
        ("telegram", {**TELEGRAM, "secret_token": "x"}, []),
        ("telegram", TELEGRAM, ["secret_token"]),
        ("telegram", {"access_token": "1:a"}, ["secret_token", "webhook_url"]),
    ],
)
def test_a_start_warns_of_each_key_without_which_nothing_is_checked(
    channel: str, section: dict[str, Any], named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    warn(load_channels({f"{channel}-two": {"channel": channel, **section}}).values())
    assert len(caplog.messages) == len(named)
    for line, key in zip(caplog.messages, named, strict=True):
        assert line.startswith(f"channel {channel}-two: key '{key}' is missing")
