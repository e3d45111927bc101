"""The order of a replay comes from the letters, whatever the order of their queue is."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from bridge.dead_letters.order import IN_MEMORY, Letters
from bridge.messages import DeadLetter, InboundMessage, Reply, decode
from tests.support.fakes import a_delivery, a_reply, an_inbound

LETTER = DeadLetter("inbound", "failed", "ValueError: x", 3, 5.0, 6.0, "q")
T = 1_700_000_000.0


def replayed(*messages: InboundMessage | Reply, letter: DeadLetter = LETTER) -> list[str]:
    """Return the ids in the order of a replay."""
    with closing(Letters()) as letters:
        for message in messages:
            letters.add(message, letter, a_delivery(message))
        kind = type(messages[0])
        return [decode(letters.body(one), kind).id for one in letters.in_order()]


@given(st.permutations(range(12)))
def test_messages_are_replayed_in_the_order_in_which_they_were_received(order: list[int]) -> None:
    messages = [an_inbound(f"e{n}", received_at=T + n / 1000) for n in order]
    assert replayed(*messages) == [f"e{n}" for n in range(12)]


@given(st.permutations(range(12)))
def test_replies_of_one_moment_are_replayed_by_their_number(order: list[int]) -> None:
    replies = [a_reply(f"e:7:{n}", created_at=T) for n in order]
    assert replayed(*replies) == [f"e:7:{n}" for n in range(12)]


def test_a_reminder_counts_from_the_time_at_which_it_was_due() -> None:
    reminder = an_inbound("reminder", received_at=T, due_at=T + 60)
    assert replayed(reminder, an_inbound("e1", received_at=T + 30)) == ["e1", "reminder"]


@pytest.mark.parametrize("id", ["", ":", "e:²", "e:٣", "e:-1", "e:1.5", "e:" + "9" * 5000])
def test_any_reply_id_has_a_place(id: str) -> None:
    assert replayed(a_reply(id, created_at=T + 1), a_reply("e:0", created_at=T)) == ["e:0", id]


def test_what_the_letters_do_not_tell_keeps_the_order_of_the_queue() -> None:
    messages = [an_inbound(id, received_at=T) for id in ("c", "a", "b")]
    assert replayed(*messages) == ["c", "a", "b"]


def test_messages_received_together_are_ordered_by_their_attempts() -> None:
    with closing(Letters()) as letters:
        for id, first_at in (("later", 9.0), ("earlier", 8.0)):
            message = an_inbound(id, received_at=T)
            letters.add(message, replace(LETTER, first_at=first_at), a_delivery(message))
        ids = [decode(letters.body(one), InboundMessage).id for one in letters.in_order()]
    assert ids == ["earlier", "later"]


def test_each_conversation_has_a_lane() -> None:
    with closing(Letters()) as letters:
        for n, sender in enumerate(("ada", "bob", "ada")):
            message = an_inbound(f"e{n}", sender_id=sender, received_at=T + n)
            letters.add(message, LETTER, a_delivery(message))
        first, second, third = (letter.lane for letter in letters.in_order())
    assert first == third != second


def test_bodies_beyond_the_memory_are_read_back_unchanged() -> None:
    large = random.Random(1).randbytes(IN_MEMORY // 8)
    with closing(Letters()) as letters:
        for n in range(12):
            body = large + bytes([n])
            letters.add(an_inbound(f"e{n}", received_at=T - n), LETTER, a_delivery(body))
        found = [letters.body(letter) for letter in letters.in_order()]
    assert [body[-1] for body in found] == list(reversed(range(12)))
    assert all(body[:-1] == large for body in found)
