"""A list of messages for Messenger, one of which may name another recipient, as in Rasa."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connectors.facebook.outgoing import body_of, split
from bridge.errors import RejectedDeliveryError
from tests.support.fakes import a_reply

HI, BYE = {"text": "hi"}, {"text": "bye"}
TO_EVE = {"sender": {"id": "eve"}}


def sent(content: list[Any]) -> list[tuple[str, Any]]:
    """Return the recipient and the message of each call."""
    bodies = map(body_of, split(a_reply(kind="custom", content=content)))
    return [(body["recipient"]["id"], body["message"]) for body in bodies]


@pytest.mark.parametrize(
    ("content", "recipient"),
    [
        ([HI, BYE], "ada"),
        ([HI, BYE, TO_EVE], "eve"),
        ([TO_EVE, HI, BYE], "eve"),
        ([HI, {**BYE, **TO_EVE}], "eve"),
        ([{**HI, **TO_EVE}, {**BYE, "sender": {"id": "bob"}}], "eve"),
    ],
)
def test_the_recipient_is_that_of_all_messages(content: list[Any], recipient: str) -> None:
    assert sent(content) == [(recipient, HI), (recipient, BYE)]


def test_a_list_with_anything_else_is_rejected() -> None:
    with pytest.raises(RejectedDeliveryError):
        sent([HI, "bye"])
