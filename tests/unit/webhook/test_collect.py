"""Collecting the replies of turns that an HTTP request waits for."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, TurnFailed
from bridge.messages import InboundMessage, Reply, ReplyTo, TurnEnd, decode
from bridge.webhook.collect import CollectedReplies, ReplyCollector
from bridge.webhook.inbox import QueueInbox
from tests.support.fakes import FakePublisher, a_delivery, a_reply, an_inbound, quiet

PRIVATE = "amq.gen-1"


class Webhook:
    """A webhook process; the test fills its private queue."""

    def __init__(self) -> None:
        self.publisher = FakePublisher()
        self.collector = ReplyCollector("amqp://nowhere/", "webhook", Topology())
        self.collector.link.queue = PRIVATE
        self.inbox = QueueInbox(self.publisher.queues(), self.collector)

    async def ask(self, id: str = "e1", timeout: float = 1000.0) -> Asked:
        replies = self.inbox.collect(an_inbound(id), timeout)
        await replies.enqueued()
        reply_to = decode(self.publisher.published[-1].body, InboundMessage).reply_to
        assert reply_to is not None
        return Asked(self, replies, id, reply_to)

    def arrives(self, message: Any, **changes: Any) -> None:
        """Put a message on the private queue."""
        self.collector.link._on_message(a_delivery(message, **changes))

    def connection_is_lost(self) -> None:
        self.collector.link.queue = None
        self.collector.link._on_lost()


class Asked:
    """A request that waits for its replies."""

    def __init__(
        self, webhook: Webhook, replies: CollectedReplies, id: str, reply_to: ReplyTo
    ) -> None:
        self._webhook = webhook
        self._replies = replies
        self._id = id
        self.reply_to = reply_to
        self.got: list[Reply] = []
        self.answer = asyncio.ensure_future(self._collect())

    async def _collect(self) -> list[str | None]:
        async for reply in self._replies:
            self.got.append(reply)
        return [reply.text for reply in self.got]

    def reply(self, number: int, text: str) -> None:
        self._webhook.arrives(
            a_reply(f"{self._id}:{number}", text=text, ticket=self.reply_to.ticket)
        )

    def end(self, error: str | None = None) -> None:
        self._webhook.arrives(
            TurnEnd(in_reply_to=self._id, ticket=self.reply_to.ticket, error=error)
        )


async def test_the_message_names_the_queue_for_its_replies() -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    assert asked.reply_to.queue == PRIVATE
    assert webhook.publisher.published[0].properties["reply_to"] == PRIVATE
    asked.end()
    await asked.answer


async def test_the_replies_of_a_turn_are_yielded_in_order_until_it_ends() -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    for n, text in enumerate(["one", "two", "three"]):
        asked.reply(n, text)
    asked.end()
    assert await asked.answer == ["one", "two", "three"]


async def test_a_reply_is_yielded_as_soon_as_it_arrives() -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    asked.reply(0, "one")
    await quiet()
    assert [reply.text for reply in asked.got] == ["one"]
    assert not asked.answer.done()
    asked.end()
    await asked.answer


async def test_a_turn_without_replies_is_an_empty_answer() -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    asked.end()
    assert await asked.answer == []


async def test_a_repeated_turn_yields_each_reply_once() -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    for n, text in [(0, "one"), (0, "one"), (1, "two"), (0, "one"), (1, "two"), (2, "three")]:
        asked.reply(n, text)
    asked.end()
    assert await asked.answer == ["one", "two", "three"]


async def test_a_request_never_sees_the_replies_of_another_request() -> None:
    webhook = Webhook()
    first, second = await webhook.ask("e1"), await webhook.ask("e1")
    assert first.reply_to.ticket != second.reply_to.ticket
    first.reply(0, "for the first")
    second.reply(0, "for the second")
    first.end()
    second.end()
    assert await first.answer == ["for the first"]
    assert await second.answer == ["for the second"]


async def test_a_reply_without_a_ticket_is_ignored() -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    webhook.arrives(a_reply("e1:0", text="whose?"))
    asked.end()
    assert await asked.answer == []


async def test_an_undecodable_message_is_dropped_and_the_turn_continues(
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    webhook.arrives(b"not json", kind="reply")
    webhook.arrives(b"not json", kind="turn_end")
    asked.reply(0, "one")
    asked.end()
    assert await asked.answer == ["one"]
    assert caplog.text.count("reply dropped") == 2


async def test_a_failed_turn_is_500_and_the_log_names_the_error(
    console: pytest.LogCaptureFixture,
) -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    asked.reply(0, "one")
    asked.end("ValueError")
    with pytest.raises(TurnFailed, match="the turn failed") as caught:
        await asked.answer
    assert caught.value.status == 500
    assert "ValueError" not in str(caught.value)
    assert "the turn failed: ValueError" in console.text
    assert [reply.text for reply in asked.got] == ["one"]


async def test_a_turn_that_does_not_end_in_time_is_504() -> None:
    webhook = Webhook()
    asked = await webhook.ask(timeout=0.01)
    with pytest.raises(TurnFailed, match=r"0\.01 s; the turn still completes") as caught:
        await asked.answer
    assert caught.value.status == 504


async def test_the_deadline_covers_the_whole_turn() -> None:
    webhook = Webhook()
    asked = await webhook.ask(timeout=0.05)
    number = 0
    while not asked.answer.done():
        # The next reply always arrives long before the timeout would pass without one.
        asked.reply(number, "and another one")
        number += 1
        await asyncio.sleep(0)
    with pytest.raises(TurnFailed) as caught:
        await asked.answer
    assert caught.value.status == 504


async def test_a_lost_connection_is_504_for_every_waiting_request() -> None:
    webhook = Webhook()
    waiting = [await webhook.ask(f"e{n}") for n in range(3)]
    await quiet()
    webhook.connection_is_lost()
    for asked in waiting:
        with pytest.raises(TurnFailed, match="still completes") as caught:
            await asked.answer
        assert caught.value.status == 504


@pytest.mark.parametrize("error", [None, "ValueError"])
async def test_a_turn_is_forgotten_after_it_ends(
    error: str | None, console: pytest.LogCaptureFixture
) -> None:
    webhook = Webhook()
    asked = await webhook.ask()
    asked.end(error)
    await asyncio.wait([asked.answer])
    asked.reply(7, "late")
    assert "its request no longer waits" in console.text
    assert "channel=callback inbound=e1 reply=e1:7" in console.text
    assert asked.answer.done()
    assert (asked.answer.exception() is None) == (error is None)


async def test_a_turn_is_forgotten_after_its_deadline(caplog: pytest.LogCaptureFixture) -> None:
    webhook = Webhook()
    asked = await webhook.ask(timeout=0.01)
    with pytest.raises(TurnFailed):
        await asked.answer
    asked.reply(0, "late")
    asked.end()
    assert "its request no longer waits" in caplog.text


async def test_without_a_private_queue_nothing_is_enqueued() -> None:
    webhook = Webhook()
    webhook.collector.link.queue = None
    webhook.collector.link.problem = "connection refused"
    with pytest.raises(BrokerUnavailable, match="connection refused"):
        await webhook.ask()
    assert webhook.publisher.calls == 0


async def test_an_unconfirmed_message_fails_the_request_and_is_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhook = Webhook()
    tickets: list[str] = []
    expect = webhook.collector.expect

    def noted() -> Any:
        reply_to, arriving = expect()
        tickets.append(reply_to.ticket)
        return reply_to, arriving

    webhook.collector.expect = noted  # type: ignore[method-assign]
    webhook.publisher.down = BrokerUnavailable("no confirm")
    with pytest.raises(BrokerUnavailable, match="no confirm"):
        await webhook.ask()
    webhook.arrives(a_reply("e1:0", ticket=tickets[0]))
    assert "its request no longer waits" in caplog.text


async def test_enqueue_returns_after_the_message_is_confirmed() -> None:
    webhook = Webhook()
    await webhook.inbox.enqueue(an_inbound("e1"))
    (published,) = webhook.publisher.published
    assert decode(published.body, InboundMessage).id == "e1"
    assert published.properties["reply_to"] is None


async def test_enqueue_raises_if_the_message_is_not_confirmed() -> None:
    webhook = Webhook()
    webhook.publisher.down = BrokerUnavailable("gone")
    with pytest.raises(BrokerUnavailable):
        await webhook.inbox.enqueue(an_inbound("e1"))


async def test_a_request_that_is_dropped_before_the_first_reply_is_forgotten() -> None:
    webhook = Webhook()
    replies = webhook.inbox.collect(an_inbound(), 1000.0)
    await replies.enqueued()
    assert len(webhook.collector._waiting) == 1
    del replies
    gc.collect()
    assert not webhook.collector._waiting
