"""The output channel of a turn whose channel sends responses in its own way."""

from __future__ import annotations

from typing import Any

from bridge.messages import Reply, decode
from tests.support.fakes import FakePublisher, an_inbound
from worker.output_channel import QueueOutput

RESPONSE: dict[str, Any] = {
    "text": "here is the plan",
    "image": "https://x/a.png",
    "buttons": None,
    "custom": None,
    "utter_action": "utter_plan",
}


class Turn:
    def __init__(self) -> None:
        self.publisher = FakePublisher()
        message = an_inbound("e1", whole_responses=True)
        self.output = QueueOutput(message, self.publisher.queues())

    @property
    def replies(self) -> list[Reply]:
        return [decode(p.body, Reply) for p in self.publisher.published]


async def test_a_response_is_one_reply_with_everything_that_rasa_passes() -> None:
    turn = Turn()
    await turn.output.send_response("ada", dict(RESPONSE))
    (reply,) = turn.replies
    assert (reply.id, reply.kind, reply.text, reply.content) == ("e1:0", "response", None, RESPONSE)


async def test_its_schema_version_keeps_earlier_versions_from_sending_it() -> None:
    turn = Turn()
    await turn.output.send_response("ada", dict(RESPONSE))
    assert turn.replies[0].v == 2


async def test_what_an_action_sends_past_send_response_keeps_its_kind() -> None:
    turn = Turn()
    await turn.output.send_text_message("ada", "hi")
    (reply,) = turn.replies
    assert (reply.kind, reply.text, reply.v) == ("text", "hi", 1)


async def test_a_streamed_text_becomes_a_response_before_what_follows_it() -> None:
    turn = Turn()
    await turn.output.send_response_chunk_start("ada")
    for chunk in ("hel", "lo"):
        await turn.output.send_response_chunk("ada", chunk)
    await turn.output.send_response("ada", {"text": "more"})
    assert [r.content for r in turn.replies] == [{"text": "hello"}, {"text": "more"}]


async def test_an_output_channel_towards_another_channel_uses_the_way_of_that_channel() -> None:
    publisher = FakePublisher()
    output = QueueOutput(an_inbound("e1"), publisher.queues())
    towards = {"channel": "custom", "output_channel": "custom"}
    await output.towards(**towards, whole_responses=True).send_response("ada", dict(RESPONSE))
    await output.towards(**towards).send_response("ada", dict(RESPONSE))
    assert [decode(p.body, Reply).kind for p in publisher.published] == [
        "response",
        "text",
        "image",
    ]
