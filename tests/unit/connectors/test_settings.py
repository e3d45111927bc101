"""Errors and warnings about the sections of credentials.yml."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bridge.connectors.registry import load_channels
from bridge.connectors.warnings import warn
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
        ("facebook", {}, "key 'page-access-token' is missing"),
        ("facebook", {"page-access-tokn": "x"}, "did you mean 'page-access-token'"),
        ("facebook", {"page-access-token": [1]}, "key 'page-access-token' must be a text"),
        ("telegram", {"verify": "bot"}, "'access_token' is missing"),
        ("telegram", {**TELEGRAM, "access_token": "no token"}, "'access_token'"),
        ("telegram", {**TELEGRAM, "secret_token": "a b"}, "'secret_token'"),
        ("telegram", {**TELEGRAM, "secret_token": ""}, "'secret_token'"),
    ],
)
def test_an_error_in_a_section_names_the_key(
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
def test_a_start_warns_about_each_key_that_enables_a_check(
    channel: str, section: dict[str, Any], named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    warn(load_channels({f"{channel}-two": {"channel": channel, **section}}).values())
    assert len(caplog.messages) == len(named)
    for line, key in zip(caplog.messages, named, strict=True):
        assert line.startswith(f"channel {channel}-two: key '{key}' is missing")


STOCK = {"rest": {}, "rasa": {"url": "http://localhost:5002/api"}}
"""What `rasa init` writes into credentials.yml."""


@pytest.mark.parametrize("sections", [STOCK, {"rest": {}}])
def test_a_stock_project_starts_without_warnings(
    sections: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    warn(load_channels(sections).values())
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "set its key 'token'" in caplog.text


@pytest.mark.parametrize(
    "sections", [{**STOCK, "slack": SLACK}, {"rest": {}, "rasa": {"url": "https://rasa.example"}}]
)
def test_an_open_channel_beside_others_is_warned_of(
    sections: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    warn(load_channels(sections).values())
    assert "channel rest: key 'token' is missing" in caplog.text
    assert "channel rest: key 'conversation_prefix' is missing" in caplog.text
