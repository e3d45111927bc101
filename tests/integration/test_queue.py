"""Publisher, consumer and queues with a real RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import delete_topology, ensure_topology
from bridge.broker.links import Consumer
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Queue, Topology, consumer_priority
from bridge.broker.url import HEARTBEAT
from bridge.errors import BrokerUnavailable, PublishRefused, TopologyError, Unroutable
from bridge.messages import INBOUND, Delivery, InboundMessage, Reply
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

QUICK = RetryPolicy(base=0.01, cap=0.05, max_attempts=3, max_age=5)


@pytest.fixture
def topology(namespace: str) -> Topology:
    return Topology(namespace, inbound_partitions=4, reply_partitions=2, channels=("callback",))


def message(n: int, sender: str = "u1", **changes: Any) -> InboundMessage:
    fields = {
        "id": f"{sender}-{n}",
        "channel": "callback",
        "sender_id": sender,
        "text": str(n),
        "input_channel": "callback",
        "output_channel": "callback",
    }
    return InboundMessage(**{**fields, **changes})


def consumer(
    broker: Broker,
    topology: Topology,
    queues: Queues,
    handle: Callable[[InboundMessage], Any],
    *,
    name: str = "worker",
    prefetch: int = 16,
    concurrency: int = 16,
) -> Consumer:
    processor = Processor(
        InboundMessage,
        handle,
        queues,
        concurrency=concurrency,
        policy=QUICK,
    )
    partitions = {q.name: consumer_priority(name, q.name) for q in topology.inbound_queues()}
    return Consumer(broker.url, name, topology, partitions, prefetch, processor.open, INBOUND)


async def depth(connection: Connection, names: list[str]) -> int:
    return sum([await connection.ready_messages(name) or 0 for name in names])


@pytest.mark.parametrize(("query", "heartbeat"), [("", HEARTBEAT), ("?heartbeat=3", 3)])
async def test_the_broker_is_asked_for_the_heartbeat_of_the_settings(
    broker: Broker, query: str, heartbeat: int
) -> None:
    """With the library's 60 seconds, a frozen process would keep its partitions for two minutes."""
    async with connect(broker.url + query, "test") as connection:
        assert connection._underlay.connection_tune.heartbeat == heartbeat


async def test_queues_are_declared_without_waiting_for_each_answer(
    broker: Broker, topology: Topology
) -> None:
    async with connect(broker.url, "test") as connection:
        queues = list(topology.queues())
        tap = connection._tap
        assert tap is not None
        before = tap.reads
        await connection.declare(topology.exchanges, queues, passive=False)
        assert tap.reads - before < len(queues)
        await connection.declare((), queues, passive=True)  # all of them exist
        assert await delete_topology(connection, topology, force=False) == []


async def test_a_queue_that_differs_is_named_although_no_answer_was_waited_for(
    broker: Broker, topology: Topology
) -> None:
    async with connect(broker.url, "test") as connection:
        *_, differs = queues = list(topology.queues())
        await connection.declare(topology.exchanges, queues, passive=False)
        queues[-1] = replace(differs, arguments={**differs.arguments, "x-delivery-limit": 7})
        with pytest.raises(TopologyError, match=differs.name):
            await connection.declare(topology.exchanges, queues, passive=False)
        await connection.delete(queue=differs.name)
        await connection.declare(topology.exchanges, queues, passive=False)


async def test_a_published_message_is_handled_once_and_acked(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    handled: list[InboundMessage] = []

    async def handle(m: InboundMessage) -> None:
        handled.append(m)

    worker = consumer(broker, topology, queues, handle)
    async with up(publisher, worker):
        sent = message(
            1, metadata={"a": [1, {"b": None}]}, text="grüße 👋", traceparent="00-ab-cd-01"
        )
        await queues.put_inbound(sent)
        await eventually(lambda: handled, "the message is handled")
    assert handled == [sent]
    async with connect(broker.url, "test") as connection:
        assert await depth(connection, [q.name for q in topology.queues()]) == 0


async def test_messages_of_a_conversation_are_handled_in_order_and_conversations_in_parallel(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    order: dict[str, list[str]] = {}
    running = most = 0

    async def handle(m: InboundMessage) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        order.setdefault(m.sender_id, []).append(m.text)
        running -= 1

    async with up(publisher, consumer(broker, topology, queues, handle)):
        for n in range(20):
            await asyncio.gather(*(queues.put_inbound(message(n, f"u{u}")) for u in range(10)))
        await eventually(lambda: sum(map(len, order.values())) == 200)
    assert all(texts == [str(n) for n in range(20)] for texts in order.values())
    assert most > 1


async def test_closing_a_consumer_passes_its_messages_to_the_next_one_in_order(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    started = asyncio.Event()
    second: list[str] = []

    async def hang(m: InboundMessage) -> None:
        started.set()
        await asyncio.Event().wait()

    async def handle(m: InboundMessage) -> None:
        second.append(m.text)

    async with up(publisher):
        for n in range(10):
            await queues.put_inbound(message(n))
        async with up(consumer(broker, topology, queues, hang, name="first")):
            await asyncio.wait_for(started.wait(), 10)
        async with up(consumer(broker, topology, queues, handle, name="second")):
            await eventually(lambda: len(second) == 10)
    assert second == [str(n) for n in range(10)]


async def test_two_workers_share_the_partitions_and_never_a_conversation(
    broker: Broker, namespace: str
) -> None:
    topology = Topology(namespace, inbound_partitions=16, reply_partitions=1)
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    handled: dict[str, list[str]] = {"a": [], "b": []}

    def handler(name: str) -> Callable[[InboundMessage], Any]:
        async def handle(m: InboundMessage) -> None:
            handled[name].append(m.sender_id)

        return handle

    first = consumer(broker, topology, queues, handler("a"), name="a")
    second = consumer(broker, topology, queues, handler("b"), name="b")
    async with up(publisher, first, second):

        async def balanced() -> bool:
            for sent in handled.values():
                sent.clear()
            for u in range(64):
                await queues.put_inbound(message(balanced.round, f"u{u}"))  # type: ignore[attr-defined]
            balanced.round += 1  # type: ignore[attr-defined]
            await eventually(lambda: len(handled["a"]) + len(handled["b"]) == 64)
            return bool(handled["a"]) and bool(handled["b"])

        balanced.round = 0  # type: ignore[attr-defined]
        await eventually(balanced, "both workers have partitions")
    assert not set(handled["a"]) & set(handled["b"])


async def test_a_failing_message_is_retried_and_then_dead_lettered(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    attempts: list[str] = []

    async def handle(m: InboundMessage) -> None:
        attempts.append(m.text)
        if m.text == "0":
            raise ValueError("no")

    async with up(publisher, consumer(broker, topology, queues, handle)):
        await queues.put_inbound(message(0))
        await queues.put_inbound(message(1))
        await eventually(lambda: "1" in attempts, "the conversation goes on")
    assert attempts == ["0", "0", "0", "1"]
    letters = await read(broker, topology.dead_queues()[0].name, 1)
    assert letters[0].message_id == "u1-0"


async def test_an_undecodable_body_is_dead_lettered_unchanged(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)

    async def handle(m: InboundMessage) -> None:
        raise AssertionError("never called")

    async with up(publisher, consumer(broker, topology, queues, handle)):
        await publisher.publish(
            topology.inbound_exchange,
            topology.inbound_key("u1"),
            b"\xffgarbage",
            kind="inbound",
            message_id="g",
        )
        letters = await read(broker, topology.dead_queues()[0].name, 1)
    assert letters[0].body == b"\xffgarbage"


async def read(broker: Broker, queue: str, count: int) -> list[Delivery]:
    """Consume and return `count` messages of a queue."""
    got: list[Delivery] = []
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connect(broker.url, "reader"))
        channel = await connection.consumer_channel(prefetch=100)
        await channel.consume(queue, got.append)
        await eventually(lambda: len(got) >= count, f"{count} messages in {queue}")
        for delivery in got:
            await delivery.ack()
        await channel.close()
    return got


async def test_an_unroutable_reply_is_an_error_and_not_lost_silently(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    reply = Reply(
        id="a:0", channel="unknown", recipient_id="u", kind="text", text="x", in_reply_to="a"
    )
    async with up(publisher):
        with pytest.raises(Unroutable, match="unknown"):
            await queues.put_reply(reply)


async def test_two_publishes_of_the_same_id_in_flight_are_both_confirmed(
    broker: Broker, topology: Topology
) -> None:
    """Returns are matched by the property message_id, so every publish needs a different one."""
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    lost = Reply(
        id="a:0", channel="unknown", recipient_id="u", kind="text", text="x", in_reply_to="a"
    )
    async with up(publisher):
        results = await asyncio.gather(
            *(queues.put_inbound(message(1)) for _ in range(5)),
            *(queues.put_reply(lost) for _ in range(5)),
            return_exceptions=True,
        )
    assert [type(r) for r in results] == [type(None)] * 5 + [Unroutable] * 5


async def repeat(times: int, action: Callable[[], Any]) -> None:
    for _ in range(times):
        await action()


async def test_a_full_queue_refuses_the_message(broker: Broker, topology: Topology) -> None:
    """At a length limit the broker nacks instead of dropping an older message."""
    name = f"{topology.namespace}.full"
    limits = {"x-queue-type": "quorum", "x-max-length": 2, "x-overflow": "reject-publish"}
    async with connect(broker.url, "test") as connection:
        await ensure_topology(connection, topology)
        await connection.declare(
            (), [Queue(name, topology.inbound_exchange, "full", limits)], passive=False
        )
        channel = await connection.confirm_channel()

        async def publish() -> None:
            await channel.publish(
                topology.inbound_exchange, "full", b"{}", kind="t", message_id="1", timeout=5
            )

        with pytest.raises(PublishRefused):
            await repeat(20, publish)
        await connection.delete(queue=name)


async def test_without_a_broker_publishing_fails_immediately(namespace: str) -> None:
    topology = Topology(namespace)
    publisher = Publisher("amqp://guest:guest@127.0.0.1:1/", "test", topology)
    task = asyncio.create_task(publisher.run())
    try:
        await eventually(lambda: "not connected yet" not in publisher.problem)
        with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1") as error:
            await asyncio.wait_for(Queues(publisher, topology).put_inbound(message(1)), 1)
        assert "guest:guest" not in str(error.value)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_publish_fails_when_its_connection_is_lost_and_not_at_its_deadline(
    broker: Broker, topology: Topology
) -> None:
    proxy = Proxy(broker.port)
    await proxy.start()
    url = broker.url.replace(str(broker.port), str(proxy.port))
    publisher = Publisher(url, "publisher", topology, confirm_timeout=3600)
    async with up(publisher):
        proxy.freeze()
        publishing = asyncio.create_task(Queues(publisher, topology).put_inbound(message(1)))
        await asyncio.sleep(
            0.1
        )  # until it waits for its confirm; if too short, the test still passes
        assert not publishing.done()
        await proxy.stop()
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(publishing, 30)


async def test_counting_attempts_has_a_deadline_even_if_the_network_is_cut(
    broker: Broker, topology: Topology
) -> None:
    """A cancelled turn waits for it: without a deadline its consumer would never come back."""
    proxy = Proxy(broker.port)
    await proxy.start()
    url = broker.url.replace(str(broker.port), str(proxy.port))
    publisher = Publisher(url, "publisher", topology, confirm_timeout=0.5)
    queues = Queues(publisher, topology)
    async with up(publisher):
        proxy.freeze()
        counters = queues.counters
        name = queues.attempts_counter("anna e1")
        for counting in (
            counters.up(name, 60),
            counters.down(name, 60),
            counters.read([name]),
            counters.reset(name),
        ):
            with pytest.raises(BrokerUnavailable):
                await asyncio.wait_for(counting, 30)
        await proxy.stop()


async def test_a_queue_with_different_arguments_is_a_clear_error(
    broker: Broker, topology: Topology
) -> None:
    name = topology.inbound_queue(3)
    async with connect(broker.url, "test") as connection:
        other = Queue(name, "", "", {"x-queue-type": "quorum"})
        await connection.declare((topology.inbound_exchange,), [], passive=False)
        await connection.declare(
            (), [Queue(name, topology.inbound_exchange, "x", other.arguments)], passive=False
        )
        with pytest.raises(
            TopologyError, match=rf"inequivalent arg 'x-[a-z-]+' for queue '{name}'"
        ):
            await ensure_topology(connection, topology)
        await connection.delete(queue=name)


async def test_delete_keeps_queues_that_hold_messages(broker: Broker, topology: Topology) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    async with up(publisher):
        await queues.put_inbound(message(1))
    async with connect(broker.url, "test") as connection:
        kept = await delete_topology(connection, topology, force=False)
        assert len(kept) == 1
        assert await delete_topology(connection, topology, force=True) == []
        assert await connection.ready_messages(kept[0]) is None


async def test_a_deleted_queue_is_declared_again_and_consumed(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    handled: list[str] = []

    async def handle(m: InboundMessage) -> None:
        handled.append(m.text)

    async with up(publisher, consumer(broker, topology, queues, handle)):
        async with connect(broker.url, "test") as connection:
            for queue in topology.inbound_queues():
                await connection.delete(queue=queue.name)

        async def consumed_again() -> bool:
            try:
                await queues.put_inbound(message(len(handled), "u7"))
            except (Unroutable, BrokerUnavailable):
                return False
            return bool(handled)

        await eventually(consumed_again, "consuming again")


async def test_attempts_are_counted_across_processes(broker: Broker, topology: Topology) -> None:
    one, two = Publisher(broker.url, "one", topology), Publisher(broker.url, "two", topology)
    first, second = Queues(one, topology).counters, Queues(two, topology).counters
    anna, bert = topology.attempts_counter("anna e1"), topology.attempts_counter("bert e1")
    async with up(one, two):
        assert await first.read([anna, bert]) == [0, 0]
        counts = [
            await first.up(anna, 60),
            await second.up(anna, 60),
            await second.up(bert, 60),
            await first.up(anna, 60),
        ]
        assert counts == [0, 1, 0, 2]
        seen = set()
        taking_back = asyncio.ensure_future(second.down(anna, 60))
        while not taking_back.done():  # another process may look at any moment
            seen.update(await first.read([anna]))
        assert seen <= {2, 3}
        assert await first.read([anna, bert]) == [2, 1]
        await second.reset(anna)
        await second.reset(anna)
        await second.down(anna, 60)
        assert await first.read([anna, bert]) == [0, 1]
        await first.down(bert, 60)
        await first.down(bert, 60)
        assert await second.up(bert, 60) == 0
