"""What a dead letter says of the message that was set aside."""

from __future__ import annotations

import time

import pytest

from bridge.dead_letters import DeadLetter
from bridge.errors import MessageError
from bridge.messages import InboundMessage, Reply
from tests.support.fakes import a_reply, an_inbound

LETTER = DeadLetter(
    flow="inbound",
    reason="failed",
    error="ValueError: x",
    attempts=3,
    first_at=1.5,
    last_at=2.5,
    queue="bridge.inbound.01",
    id="e1",
    channel="callback",
    conversation="ada",
)


def test_its_headers_have_a_prefix_and_hyphens() -> None:
    assert LETTER.headers() == {
        "x-bridge-flow": "inbound",
        "x-bridge-reason": "failed",
        "x-bridge-error": "ValueError: x",
        "x-bridge-attempts": 3,
        "x-bridge-first-at": 1.5,
        "x-bridge-last-at": 2.5,
        "x-bridge-queue": "bridge.inbound.01",
        "x-bridge-id": "e1",
        "x-bridge-channel": "callback",
        "x-bridge-conversation": "ada",
    }


def test_its_headers_fit_into_one_frame_whatever_an_error_says() -> None:
    long = "👩" * 1_000_000
    texts = {name: long for name, value in vars(LETTER).items() if isinstance(value, str)}
    headers = DeadLetter(**{**vars(LETTER), **texts}).headers()
    assert sum(len(name) + len(str(value).encode()) for name, value in headers.items()) < 128 * 1024


@pytest.mark.parametrize(
    ("message", "id"),
    [
        (an_inbound("e1", sender_id="ada", channel="slack"), "e1"),
        (a_reply("e1:0", recipient_id="ada", channel="slack"), "e1:0"),
    ],
)
def test_it_names_the_message_its_channel_and_its_conversation(
    message: InboundMessage | Reply, id: str
) -> None:
    letter = DeadLetter.of(message, ValueError("x"), flow="inbound", reason="failed")
    assert (letter.id, letter.channel, letter.conversation) == (id, "slack", "ada")
    assert letter.error == "ValueError: x"


def test_a_body_that_is_no_message_has_the_id_of_its_properties() -> None:
    letter = DeadLetter.of(None, MessageError("x"), flow="inbound", reason="undecodable", id="e1")
    assert (letter.id, letter.channel, letter.conversation) == ("e1", "", "")


def test_without_a_first_attempt_both_times_are_now() -> None:
    before = time.time()
    letter = DeadLetter.of(an_inbound(), ValueError(), flow="inbound", reason="failed")
    assert before <= letter.first_at == letter.last_at <= time.time()
