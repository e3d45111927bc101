"""The keys of rate limits, and the limits that services publish."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connectors.limits import Limits, RateLimit, limits_from
from bridge.connectors.registry import Channel, load_channel
from bridge.errors import SettingsError
from tests.support.fakes import a_reply

BOT = {"url": "http://bot.example/"}
TELEGRAM = {"access_token": "1:a"}
SLACK = {"slack_token": "t", "slack_signing_secret": "s"}
WHATSAPP = {"access_token": "t", "phone_number_id": "1"}
TEAMS = {"app_id": "a", "app_password": "p"}


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({}, Limits()),
        ({"rate_limit": 20}, Limits(RateLimit(20, 2))),
        ({"rate_limit": "0.5"}, Limits(RateLimit(0.5, 1))),
        ({"rate_limit": 30, "burst": 7}, Limits(RateLimit(30, 7))),
        ({"rate_limit": "none"}, Limits()),
        ({"rate_limit_per_recipient": 2}, Limits(None, (RateLimit(2, 1),))),
        (
            {"rate_limit_per_recipient": 0.1, "burst_per_recipient": "3"},
            Limits(None, (RateLimit(0.1, 3),)),
        ),
        ({"rate_limit_per_recipient": "none"}, Limits(None, ())),
        ({"rate_limit_per_recipient": False}, Limits(None, ())),
    ],
)
def test_the_keys_of_the_limits(settings: dict[str, Any], limits: Limits) -> None:
    settings["other"] = 1
    assert limits_from(settings) == limits
    assert settings == {"other": 1}


@pytest.mark.parametrize("key", ["rate_limit", "rate_limit_per_recipient"])
@pytest.mark.parametrize("value", [0, -1, "fast", "", [1], True, "inf", "nan", {}])
def test_a_rate_that_is_not_a_positive_number_is_an_error(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"'{key}' must be a number of calls per second"):
        limits_from({key: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True, "inf", [], "none"])
def test_a_burst_that_is_not_a_positive_whole_number_is_an_error(value: Any) -> None:
    with pytest.raises(SettingsError, match="'burst' must be a whole number"):
        limits_from({"rate_limit": 5, "burst": value})


@pytest.mark.parametrize("rate", [{}, {"rate_limit_per_recipient": "none"}])
def test_a_burst_without_its_rate_is_an_error(rate: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="'burst_per_recipient' needs"):
        limits_from({"burst_per_recipient": 5, **rate})


def limits_of(loaded: Channel, recipient: str = "ada", **route: str) -> dict[str, Any]:
    reply = a_reply(channel=loaded.name, recipient_id=recipient, route=route)
    return {
        "limits": loaded.recipient_limits(reply),
        "recipient": loaded.connector.limited_recipient(reply),
    }


@pytest.mark.parametrize(
    ("channel", "recipient", "route", "windows"),
    [
        (load_channel("telegram", TELEGRAM), "12", {}, [(1, 2)]),
        (load_channel("telegram", TELEGRAM), "-10012", {}, [(1, 2), (60, 20)]),
        (load_channel("slack", SLACK), "U1", {"channel": "C1"}, [(60, 65)]),
        (load_channel("whatsapp", WHATSAPP), "49170", {}, [(6, 46), (600, 145)]),
        (
            load_channel("botframework", TEAMS),
            "u",
            {"conversation": "c"},
            [(1, 7), (2, 8), (30, 60), (3600, 1800)],
        ),
    ],
)
def test_the_published_limits_are_the_defaults(
    channel: Channel, recipient: str, route: dict[str, str], windows: list[tuple[int, int]]
) -> None:
    """Each of `windows` is (seconds, the most calls that the service allows in them)."""
    limits = limits_of(channel, recipient, **route)["limits"]
    for seconds, most in windows:
        assert min(limit.rate * seconds + limit.burst for limit in limits) <= most + 1e-6


def test_a_recipient_is_what_the_service_counts() -> None:
    assert limits_of(load_channel("slack", SLACK), "U1", channel="C1")["recipient"] == "C1"
    assert limits_of(load_channel("slack", SLACK), "U1")["recipient"] == "U1"
    assert limits_of(load_channel("telegram", TELEGRAM), "12")["recipient"] == "12"
    teams = load_channel("botframework", TEAMS)
    assert limits_of(teams, "u", conversation="c")["recipient"] == "c"


def test_a_key_replaces_the_published_limit_or_switches_it_off() -> None:
    own = load_channel("telegram", {"rate_limit_per_recipient": 5, **TELEGRAM})
    assert limits_of(own, "-1")["limits"] == (RateLimit(5),)
    off = load_channel("telegram", {"rate_limit_per_recipient": "none", **TELEGRAM})
    assert limits_of(off)["limits"] == ()
    assert limits_of(load_channel("callback", BOT))["limits"] == ()
