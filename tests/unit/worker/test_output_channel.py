"""The output channel of a turn: every `send_*` publishes one reply and awaits its confirm."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from bridge.broker.topology import Topology
from bridge.errors import (
    BrokerUnavailable,
    MessageError,
    MessageTooLarge,
    PublishRefused,
    Unroutable,
)
from bridge.messages import Reply, ReplyTo, decode
from tests.support.fakes import FakePublisher, an_inbound, quiet
from worker.output_channel import QueueOutput

BUTTON = {"title": "Yes", "payload": "/affirm"}
ELEMENT = {"title": "Paris", "buttons": [BUTTON]}


@pytest.fixture(autouse=True)
def _no_pause_between_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)


class Turn:
    """The output channel of one turn, and the replies that it has published."""

    def __init__(self, **changes: Any) -> None:
        self.message = an_inbound("e1", **changes)
        self.publisher = FakePublisher()
        self.output = self.again()

    def again(self) -> QueueOutput:
        """Return the output channel of a second run of the same turn."""
        return QueueOutput(self.message, self.publisher.queues())

    @property
    def replies(self) -> list[Reply]:
        return [decode(p.body, Reply) for p in self.publisher.published]

    @property
    def short(self) -> list[tuple[str, str | None, Any, dict[str, Any]]]:
        return [(r.kind, r.text, r.content, r.options) for r in self.replies]


async def everything(output: QueueOutput) -> None:
    await output.send_text_message("ada", "hi")
    await output.send_image_url("ada", "http://cats/1.png")
    await output.send_attachment("ada", {"type": "file"})
    await output.send_text_with_buttons("ada", "Sure?", [BUTTON])
    await output.send_quick_replies("ada", "Really?", [BUTTON])
    await output.send_elements("ada", iter([ELEMENT, ELEMENT]))
    await output.send_custom_json("ada", {"blocks": [1]})


# contents of a reply


async def test_each_send_is_one_reply() -> None:
    turn = Turn()
    await everything(turn.output)
    assert turn.short == [
        ("text", "hi", None, {}),
        ("image", None, "http://cats/1.png", {}),
        ("attachment", None, {"type": "file"}, {}),
        ("buttons", "Sure?", [BUTTON], {}),
        ("quick_replies", "Really?", [BUTTON], {}),
        ("elements", None, [ELEMENT, ELEMENT], {}),
        ("custom", None, {"blocks": [1]}, {}),
    ]


async def test_replies_are_numbered_within_their_turn() -> None:
    turn = Turn()
    await everything(turn.output)
    assert [reply.id for reply in turn.replies] == [f"e1:{n}" for n in range(7)]
    assert {reply.in_reply_to for reply in turn.replies} == {"e1"}


async def test_a_repeated_turn_sends_the_same_ids() -> None:
    turn = Turn()
    await everything(turn.output)
    await everything(turn.again())
    ids = [reply.id for reply in turn.replies]
    assert ids[:7] == ids[7:]


async def test_a_reply_carries_the_channel_recipient_and_route_of_its_message() -> None:
    turn = Turn(channel="slack", route={"thread": "7"}, traceparent="00-1-2-01")
    await turn.output.send_text_message("bob", "hi")
    (reply,) = turn.replies
    assert (reply.channel, reply.recipient_id) == ("slack", "bob")
    assert (reply.route, reply.traceparent, reply.ticket) == ({"thread": "7"}, "00-1-2-01", None)


async def test_a_reply_goes_to_the_partition_of_its_recipient() -> None:
    turn = Turn()
    await turn.output.send_text_message("bob", "hi")
    (published,) = turn.publisher.published
    assert published.exchange == "bridge.replies"
    assert published.routing_key == Topology().reply_key("callback", "bob")


async def test_a_reply_that_a_request_awaits_goes_to_its_private_queue() -> None:
    turn = Turn(reply_to=ReplyTo("amq.gen-1", "ticket-1"))
    await turn.output.send_text_message("ada", "hi")
    (published,) = turn.publisher.published
    assert (published.exchange, published.routing_key) == ("bridge.private", "amq.gen-1")
    assert turn.replies[0].ticket == "ticket-1"


async def test_extra_arguments_become_options() -> None:
    turn = Turn()
    await turn.output.send_text_message("ada", "hi", parse_mode="HTML", silent=True)
    assert turn.replies[0].options == {"parse_mode": "HTML", "silent": True}


async def test_the_output_channel_has_the_name_of_rasas_own_output_channel() -> None:
    assert Turn(output_channel="collector").output.name() == "collector"


# send_response


async def test_a_response_is_sent_in_the_same_order_as_in_rasa() -> None:
    turn = Turn()
    await turn.output.send_response(
        "ada",
        {
            "elements": [ELEMENT],
            "attachment": "http://file",
            "image": "http://cats/1.png",
            "custom": {"a": 1},
            "text": "hi",
        },
    )
    assert [reply.kind for reply in turn.replies] == [
        "text",
        "custom",
        "image",
        "attachment",
        "elements",
    ]


@pytest.mark.parametrize(
    ("response", "kind", "text"),
    [
        ({"text": "hi", "quick_replies": [BUTTON], "buttons": [BUTTON]}, "quick_replies", "hi"),
        ({"text": "hi", "buttons": [BUTTON]}, "buttons", "hi"),
        ({"buttons": [BUTTON]}, "buttons", ""),
        ({"text": "hi", "buttons": [], "quick_replies": None}, "text", "hi"),
    ],
)
async def test_quick_replies_buttons_and_text_exclude_each_other(
    response: dict[str, Any], kind: str, text: str
) -> None:
    turn = Turn()
    await turn.output.send_response("ada", response)
    assert [(reply.kind, reply.text) for reply in turn.replies] == [(kind, text)]


@pytest.mark.parametrize("response", [{}, {"text": ""}, {"text": None, "image": ""}])
async def test_an_empty_response_sends_no_reply(response: dict[str, Any]) -> None:
    turn = Turn()
    await turn.output.send_response("ada", response)
    assert turn.replies == []


async def test_unknown_keys_of_a_response_become_options() -> None:
    turn = Turn()
    await turn.output.send_response("ada", {"text": "hi", "utter_action": "utter_greet"})
    assert turn.short == [("text", "hi", None, {"utter_action": "utter_greet"})]


async def test_sending_a_response_does_not_modify_it() -> None:
    turn = Turn()
    response = {"text": "hi", "buttons": [BUTTON], "image": "u", "custom": {"a": [1]}, "x": 1}
    before = copy.deepcopy(response)
    await turn.output.send_response("ada", response)
    assert response == before


# confirms


async def test_a_send_returns_after_its_reply_is_confirmed() -> None:
    turn = Turn()
    turn.publisher.down = BrokerUnavailable("gone")
    sending = asyncio.ensure_future(turn.output.send_text_message("ada", "hi"))
    while turn.publisher.calls < 5:
        await asyncio.sleep(0)
    assert not sending.done()
    turn.publisher.down = None
    await sending
    assert [reply.id for reply in turn.replies] == ["e1:0"]


@pytest.mark.parametrize("error", [BrokerUnavailable("no confirm"), PublishRefused("full")])
async def test_an_unconfirmed_reply_is_published_again_with_the_same_id(
    error: Exception,
) -> None:
    turn = Turn()
    turn.publisher.errors = [error] * 3  # type: ignore[list-item]
    await turn.output.send_text_message("ada", "one")
    await turn.output.send_text_message("ada", "two")
    assert turn.publisher.calls == 5
    assert [(reply.id, reply.text) for reply in turn.replies] == [("e1:0", "one"), ("e1:1", "two")]


async def test_a_reply_is_marked_once_the_broker_may_have_a_copy_of_it() -> None:
    turn = Turn()
    lost = BrokerUnavailable("connection lost before the confirm")
    lost.unconfirmed = True
    turn.publisher.errors = [BrokerUnavailable("nothing can be published"), PublishRefused("full")]
    await turn.output.send_text_message("ada", "never sent before")
    turn.publisher.errors = [lost, BrokerUnavailable("nothing can be published")]
    await turn.output.send_text_message("ada", "sent before")
    assert [reply.redelivered for reply in turn.replies] == [False, True]


async def test_a_reply_that_is_too_large_for_the_broker_fails_its_turn_at_once() -> None:
    turn = Turn()
    turn.publisher.down = MessageTooLarge("17000000 bytes")
    with pytest.raises(MessageTooLarge):
        await turn.output.send_text_message("ada", "hi")
    assert turn.publisher.calls == 1


async def test_an_unroutable_reply_is_dead_lettered_and_the_turn_continues() -> None:
    turn = Turn(channel="slack")
    turn.publisher.errors = [Unroutable("no queue is bound")]
    await turn.output.send_text_message("ada", "one")
    await turn.output.send_text_message("ada", "two")
    letter, second = turn.publisher.published
    assert (letter.exchange, letter.routing_key) == ("bridge.dead", "replies")
    assert decode(letter.body, Reply).text == "one"
    headers = letter.properties["headers"]
    assert headers["x-bridge-reason"] == "unroutable"
    assert headers["x-bridge-error"] == "Unroutable: no queue is bound"
    assert headers["x-bridge-attempts"] == 1
    assert headers["x-bridge-id"] == letter.properties["message_id"] == "e1:0"
    assert (headers["x-bridge-channel"], headers["x-bridge-conversation"]) == ("slack", "ada")
    assert letter.properties["kind"] == "reply"
    assert second.exchange == "bridge.replies"


async def test_a_reply_without_a_json_form_fails_its_turn_at_once() -> None:
    turn = Turn()
    with pytest.raises(MessageError):
        await turn.output.send_custom_json("ada", {"a": object()})
    assert turn.publisher.calls == 0


async def test_the_output_channel_keeps_working_after_its_turn() -> None:
    turn = Turn()
    await turn.output.send_text_message("ada", "during")
    await quiet()
    await turn.output.send_text_message("ada", "much later")
    assert [reply.id for reply in turn.replies] == ["e1:0", "e1:1"]


async def test_chunks_become_one_reply() -> None:
    turn = Turn()
    await turn.output.send_response_chunk_start("ada")
    for chunk in ("We are ", "open."):
        await turn.output.send_response_chunk("ada", chunk)
    assert turn.short == []
    await turn.output.send_response_chunk_end("ada")
    assert turn.short == [("text", "We are open.", None, {})]


async def test_a_reply_amid_chunks_follows_what_came_before_it() -> None:
    turn = Turn()
    await turn.output.send_response_chunk_start("ada")
    await turn.output.send_response_chunk("ada", "Look: ")
    await turn.output.send_image_url("ada", "http://cats/1.png")
    await turn.output.send_response_chunk("ada", "A cat.")
    await turn.output.send_response_chunk_end("ada")
    kinds = [(kind, text) for kind, text, *_ in turn.short]
    assert kinds == [("text", "Look: "), ("image", None), ("text", "A cat.")]


async def test_chunks_without_an_end_are_sent_when_the_turn_ends_or_the_next_text_begins() -> None:
    turn = Turn()
    await turn.output.send_response_chunk("ada", "one")
    await turn.output.send_response_chunk_start("ada")
    await turn.output.send_response_chunk("ada", "two")
    await turn.output.finish()
    await turn.output.finish()
    assert [text for _, text, *_ in turn.short] == ["one", "two"]


async def test_an_interrupted_text_is_not_sent() -> None:
    turn = Turn()
    await turn.output.send_response_chunk("ada", "half a se")
    await turn.output.send_response_chunk_end("ada", interrupted=True)
    await turn.output.finish()
    assert turn.short == []
