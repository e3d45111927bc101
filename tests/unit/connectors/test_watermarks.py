"""Messenger's `delivery` and `read` name messages, a moment, or both."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.connectors.facebook import FacebookConnector
from bridge.connectors.toolkit import receipts
from bridge.messages.receipts import Receipt
from tests.unit.connectors.test_receipts import counted, messenger, named

USER = {"sender": {"id": "1254459154682919"}, "recipient": {"id": "682498171943165"}}
AT = 1_458_668_856.463
MARK = 1_458_668_856.253


def reported(channel: str, *events: dict[str, Any], prefix: str = "") -> list[Receipt]:
    connector = named(FacebookConnector("EAA"), channel)
    connector.conversation_prefix = prefix
    with receipts.told() as told:
        assert connector.parse(messenger(*events)) == []
    return told


def test_a_delivery_names_messages_and_covers_those_before_them() -> None:
    delivery = {"mids": ["m_1", "m_2"], "watermark": 1458668856253}
    told = reported("marks-1", {**USER, "timestamp": 1458668856463, "delivery": delivery})
    assert told == [
        Receipt("m_1", "delivered", AT),
        Receipt("m_2", "delivered", AT),
        Receipt("", "delivered", AT, conversation="1254459154682919", until=MARK),
    ]
    assert counted("receipts", "marks-1") == {"delivered": 2}


@pytest.mark.parametrize("outcome", ["delivery", "read"])
def test_without_names_it_counts_once(outcome: str) -> None:
    channel = f"marks-2-{outcome}"
    body = {**USER, "timestamp": 1458668856463, outcome: {"watermark": 1458668856253, "seq": 38}}
    (told,) = reported(channel, body, prefix="messenger:")
    assert (told.provider_id, told.until) == ("", MARK)
    assert told.conversation == "messenger:1254459154682919"
    assert list(counted("receipts", channel).values()) == [1]


def test_instagram_names_the_message_that_was_read() -> None:
    told = reported("marks-3", {**USER, "timestamp": 1458668856463, "read": {"mid": "aWdf"}})
    assert told == [Receipt("aWdf", "read", AT)]


@pytest.mark.parametrize(
    "read", [{}, {"watermark": None}, {"watermark": "soon"}, {"watermark": -1}, {"mids": []}]
)
def test_without_a_moment_it_covers_nothing(read: dict[str, Any]) -> None:
    (told,) = reported("marks-4", {**USER, "timestamp": 1458668856463, "read": read})
    assert told == Receipt("", "read", AT)


def test_without_a_user_it_covers_nothing() -> None:
    event = {"sender": {"user_ref": "x"}, "timestamp": 1458668856463, "read": {"watermark": 1}}
    assert [told.until for told in reported("marks-5", event)] == [None]


def test_a_fast_clock_covers_nothing_that_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: MARK - 3)
    (told,) = reported("marks-6", {**USER, "read": {"watermark": 1458668856253}})
    assert told.until == MARK - 3
