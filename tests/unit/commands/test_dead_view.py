"""How a dead letter looks in a terminal: complete, printable, and without the message text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from rich.console import Console

from bridge.commands.dead_view import as_json, as_table, described
from bridge.commands.terminal import printable
from bridge.messages import DeadLetter, Delivery, InboundMessage, Reply, ReplyTo
from tests.support.fakes import a_delivery, a_reply, an_inbound

SECRET = "xyzzy-plugh"
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc).timestamp()
LETTER = DeadLetter(
    flow="inbound",
    reason="failed",
    error="RejectedDeliveryError: 400 from the service",
    attempts=3,
    first_at=NOON - 120,
    last_at=NOON - 60,
    queue="bridge.inbound.01",
    id="5f2b8c1e9a7d4e0c8b6f3a2d1c0e9f8a",
    channel="callback",
    conversation="whatsapp:+491701234567",
)


def table(*letters: DeadLetter, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(as_table(letters, NOON))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def lines(delivery: Delivery, *, text: bool = False, body: bool = False) -> str:
    letter = DeadLetter.read(delivery, "inbound" if delivery.kind != "reply" else "replies")
    return "\n".join(described(letter, delivery, NOON, text=text, body=body))


@pytest.mark.parametrize("length", [1, 20, 60, 500])
def test_the_table_fits_80_columns_and_cuts_nothing(length: int) -> None:
    names: dict[str, Any] = {
        "id": "w" * length,
        "conversation": "x" * length,
        "channel": "y" * length,
    }
    shown = table(replace(LETTER, **names, reason="delivery_limit", error="Q" * length))
    assert max(map(len, shown.splitlines())) <= 80
    assert [shown.count(c) for c in "wxyQ"] == [length + 1, length, length + 1, length]


def test_the_table_shows_age_error_class_and_tries() -> None:
    (row,) = table(LETTER, width=140).splitlines()[1:]
    assert row.split() == [
        "1m",
        "inbound",
        "callback",
        "whatsapp:+491701234567",
        "failed",
        "RejectedDeliveryError",
        "3",
        "5f2b8c1e9a7d4e0c8b6f3a2d1c0e9f8a",
    ]


def test_json_is_one_line_without_the_error_text() -> None:
    line = as_json(replace(LETTER, error=f"ValueError: said\n{SECRET}", conversation="grüße"))
    assert "\n" not in line
    assert json.loads(line) == {
        **vars(LETTER),
        "error": "ValueError",
        "cause": "ValueError",
        "conversation": "grüße",
    }


@pytest.mark.parametrize(
    "message",
    [
        an_inbound(
            text=SECRET,
            metadata={"x": SECRET},
            parse_data={"text": SECRET},
            reply_to=ReplyTo("amq.gen-1", "t"),
        ),
        a_reply(text=SECRET),
        a_reply(kind="custom", content={"x": SECRET}, options={"y": SECRET}),
    ],
)
def test_message_content_is_shown_only_on_request(message: InboundMessage | Reply) -> None:
    delivery = a_delivery(message, headers=LETTER.headers())
    assert SECRET not in lines(delivery)
    assert SECRET in lines(delivery, text=True)
    assert SECRET in lines(delivery, body=True)


def test_show_prints_every_detail() -> None:
    message = an_inbound(received_at=NOON - 180, reply_to=ReplyTo("amq.gen-1", "t"))
    headers = {**LETTER.headers(), "traceparent": "00-ab", "x-odd": [{"at": datetime(2026, 1, 2)}]}
    shown = lines(a_delivery(message, headers=headers), text=True)
    assert "400 from the service" not in lines(a_delivery(message, headers=headers))
    for value in (
        "inbound 5f2b8c1e9a7d4e0c8b6f3a2d1c0e9f8a",
        "RejectedDeliveryError: 400 from the service",
        "whatsapp:+491701234567",
        "bridge.inbound.01",
        "2026-03-01 11:58:00 UTC, 2m ago",
        "2026-03-01 11:59:00 UTC, 1m ago",
        "2026-03-01 11:57:00 UTC, 3m ago",
        "amq.gen-1",
        "traceparent: 00-ab",
        "2026-01-02 00:00:00 UTC",
    ):
        assert value in shown
    assert "x-bridge-" not in shown


def test_an_undecodable_body_is_shown_as_well() -> None:
    delivery = a_delivery(b"\xffgarbage\x1b[31m", headers=LETTER.headers())
    assert "not a valid inbound message" in lines(delivery, text=True)
    assert r"\xffgarbage\x1b[31m" in lines(delivery, body=True)


def test_an_impossible_time_is_shown_as_not_known() -> None:
    headers = replace(LETTER, first_at=1e300, last_at=0).headers()
    assert "unknown" in lines(a_delivery(an_inbound(), headers=headers))


def test_control_characters_in_a_message_never_reach_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x9b2J\r\n\u202e"
    letter = replace(LETTER, id=evil, conversation=evil, channel=evil, error=f"{evil}: {evil}")
    delivery = a_delivery(an_inbound(text=evil), headers={**letter.headers(), evil: evil})
    shown = lines(delivery, text=True, body=True) + table(letter)
    assert not [c for c in shown if not c.isprintable() and c != "\n"]
    assert printable("grüße 👋") == "grüße 👋"
