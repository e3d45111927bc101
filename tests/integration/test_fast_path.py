"""The fast path beside the library's, on a real RabbitMQ: both do the same."""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.broker.channels import ConsumerChannel
from bridge.broker.confirms import ConfirmChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path.confirm_channel import FastConfirmChannel
from bridge.broker.fast_path.tap import AMQP, LIBRARY
from bridge.broker.topology import Topology
from bridge.broker.unconfirmed import Unconfirmed
from bridge.errors import BrokerUnavailable, NotDeclared, Unroutable
from bridge.messages import Delivery
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

PATHS = ("fast", LIBRARY)
MESSAGES = 200
LARGE = 400_000
"""Bytes: several frames."""


@asynccontextmanager
async def on(path: str, url: str) -> AsyncIterator[Connection]:
    """Open a connection on one of the two paths."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(AMQP, path)
        opened = connect(url, "test")
        connection = await opened.__aenter__()
    try:
        yield connection
    finally:
        await opened.__aexit__(None, None, None)


class Bench:
    """One partition, and what was delivered from it."""

    def __init__(self, namespace: str, publisher: Connection, consumer: Connection) -> None:
        self.topology = Topology(namespace, inbound_partitions=1)
        (self.queue,) = self.topology.inbound_queues()
        self.publisher, self.consumer = publisher, consumer
        self.delivered: list[Delivery] = []

    async def publishing(self) -> ConfirmChannel:
        await ensure_topology(self.publisher, self.topology)
        return await self.publisher.confirm_channel()

    async def publish(self, channel: ConfirmChannel, name: str, body: bytes = b"{}") -> None:
        await channel.publish(
            self.queue.exchange,
            self.queue.routing_key,
            body,
            kind="test",
            message_id=name,
            headers={"traceparent": f"00-{name}", "at": 1.5, "number": 7, "empty": ""},
            timeout=60.0,
        )

    async def consuming(self, prefetch: int = MESSAGES) -> ConsumerChannel:
        channel = await self.consumer.consumer_channel(prefetch)
        await channel.consume(self.queue.name, self.delivered.append, priority=0)
        return channel


@pytest.fixture(params=[(a, b) for a in PATHS for b in PATHS], ids="-to-".join)
async def both(
    request: pytest.FixtureRequest, broker: Broker, namespace: str
) -> AsyncIterator[Bench]:
    publisher, consumer = request.param
    async with on(publisher, broker.url) as one, on(consumer, broker.url) as other:
        yield Bench(namespace, one, other)


@pytest.fixture(params=PATHS)
async def bench(
    request: pytest.FixtureRequest, broker: Broker, namespace: str
) -> AsyncIterator[Bench]:
    async with on(request.param, broker.url) as connection:
        yield Bench(namespace, connection, connection)


async def test_a_channel_that_consumes_sends_too(both: Bench) -> None:
    publishing = await both.publishing()
    answers, received = await both.publisher.consumer_channel(0), list[Delivery]()
    exchange = both.topology.private_exchange
    name = await answers.consume_private(received.append, exchange)
    consuming = await both.consuming()
    await consuming.send(exchange, f"not {name}", b"{}", "pace", "who")  # dropped
    for body in (b"{}", b"x" * LARGE):
        await consuming.send(exchange, name, body, "pace", "who")
    await eventually(lambda: len(received) == 2)
    assert [(it.kind, it.message_id, len(it.body)) for it in received] == [
        ("pace", "who", 2),
        ("pace", "who", LARGE),
    ]
    await both.publish(publishing, "m1")
    await eventually(lambda: len(both.delivered) == 1)
    await both.delivered[0].ack()
    consuming.abandon()
    await consuming.send(exchange, name, b"{}", "pace", "who")
    await consuming.close()
    assert await both.publisher.ready_messages(both.queue.name) == 0
    assert len(received) == 2


async def test_what_one_path_sends_the_other_receives(both: Bench) -> None:
    channel = await both.publishing()
    for name, body in (("ä" * 200, b"{}"), ("m2", b""), ("m3", b"x" * LARGE)):
        await both.publish(channel, name, body)
    consuming = await both.consuming()
    await eventually(lambda: len(both.delivered) == 3)
    assert [len(delivery.body) for delivery in both.delivered] == [2, 0, LARGE]
    first, second, _ = both.delivered
    assert first.message_id == "ä" * 127
    assert (second.message_id, second.kind, second.redelivered) == ("m2", "test", False)
    assert second.headers["traceparent"] == "00-m2"
    assert (second.headers["at"], second.headers["number"], second.headers["empty"]) == (
        "1.5",
        7,
        "",
    )
    assert len({delivery.publish_id for delivery in both.delivered}) == 3
    for delivery in both.delivered:
        await delivery.ack()
    await consuming.close()
    assert await both.publisher.ready_messages(both.queue.name) == 0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 and its key in one file."""
    run = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    run += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    run += ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    file = tmp_path / "certificate.pem"
    file.write_text(file.read_text() + (tmp_path / "key.pem").read_text())
    return file


async def test_messages_pass_a_connection_with_tls(
    broker: Broker, namespace: str, certificate: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    proxy = Proxy(broker.port, context)
    await proxy.start()
    url = f"amqps://guest:guest@127.0.0.1:{proxy.port}/?cafile={certificate}"
    try:
        async with on("fast", url) as connection:
            bench = Bench(namespace, connection, connection)
            channel = await bench.publishing()
            assert isinstance(channel, FastConfirmChannel)
            names = [f"m{n}" for n in range(MESSAGES)]
            await asyncio.gather(*(bench.publish(channel, name, b"x" * 9000) for name in names))
            consuming = await bench.consuming()
            await eventually(lambda: len(bench.delivered) == MESSAGES)
            assert [delivery.message_id for delivery in bench.delivered] == names
            for delivery in bench.delivered:
                await delivery.ack()
                await connection.depths([bench.queue.name])
            await consuming.close()
            assert await connection.ready_messages(bench.queue.name) == 0
    finally:
        await proxy.stop()


async def test_only_what_was_acked_is_gone_in_whatever_order(bench: Bench) -> None:
    """An ack of several must not take those along whose turns still run, or end the channel."""
    channel = await bench.publishing()
    await asyncio.gather(*(bench.publish(channel, str(n)) for n in range(MESSAGES)))
    consuming = await bench.consuming()
    await eventually(lambda: len(bench.delivered) == MESSAGES)
    order = random.Random(1).sample(bench.delivered, MESSAGES)
    for n, delivery in enumerate(order[: MESSAGES // 2]):
        await delivery.ack()
        if n % 10 == 0:
            # RabbitMQ 4.0 forgets all but some 32 acks that come at once before a close.
            await bench.publisher.depths([bench.queue.name])
    await bench.publisher.depths([bench.queue.name])
    await consuming.close()
    left = sorted(int(delivery.message_id or "") for delivery in order[MESSAGES // 2 :])
    bench.delivered.clear()
    await bench.consuming()
    await eventually(lambda: len(bench.delivered) == len(left))
    assert [int(delivery.message_id or "") for delivery in bench.delivered] == left
    assert all(delivery.redelivered for delivery in bench.delivered)


async def test_acks_and_returns_in_any_mixture_settle_exactly_what_they_name(bench: Bench) -> None:
    channel = await bench.publishing()
    await asyncio.gather(*(bench.publish(channel, str(n)) for n in range(MESSAGES)))
    consuming = await bench.consuming()
    chance, taken = random.Random(2), 0
    held: list[Delivery] = []
    acked: list[str | None] = []
    returned: list[str | None] = []
    for _ in range(10):
        await eventually(lambda: len(bench.delivered) == MESSAGES + len(returned))
        held += bench.delivered[taken:]
        taken = len(bench.delivered)
        # In one pass of the event loop, and mostly the oldest ones, so that acks are joined.
        for _ in range(15):
            delivery = held.pop(chance.choice([0, 0, 1, 2, len(held) // 2]))
            if chance.random() < 0.2:
                returned.append(delivery.message_id)
                await delivery.requeue()
            else:
                acked.append(delivery.message_id)
                await delivery.ack()
    await eventually(lambda: len(bench.delivered) == MESSAGES + len(returned))
    await consuming.close()
    bench.delivered.clear()
    await bench.consuming()
    left = {str(n) for n in range(MESSAGES)}.difference(acked)
    await eventually(lambda: len(bench.delivered) == len(left))
    assert {delivery.message_id for delivery in bench.delivered} == left


async def test_an_unroutable_message_fails_alone_among_many(bench: Bench) -> None:
    channel = await bench.publishing()

    async def lost() -> None:
        await channel.publish(
            bench.queue.exchange, "nowhere", b"{}", kind="test", message_id="lost", timeout=60.0
        )

    outcomes = await asyncio.gather(
        *(bench.publish(channel, str(n)) for n in range(50)),
        lost(),
        *(bench.publish(channel, str(n)) for n in range(50)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Unroutable]
    assert isinstance(outcomes[50], Unroutable)
    assert str(outcomes[50]) == "no queue is bound for routing key 'nowhere'"
    assert await bench.publisher.ready_messages(bench.queue.name) == 100


async def test_a_channel_that_the_broker_closes_fails_what_waits(bench: Bench) -> None:
    await bench.publishing()
    async with bench.publisher.own_channel() as channel:
        with pytest.raises(NotDeclared, match="no exchange"):
            await channel.publish(
                "missing", "key", b"{}", kind="test", message_id="m", timeout=60.0
            )
    # The connection goes on, and so do other channels, even one of the same number.
    async with bench.publisher.own_channel() as channel:
        await bench.publish(channel, "next")
    assert await bench.publisher.ready_messages(bench.queue.name) == 1


async def test_unconfirmed_messages_arrive_alike_and_a_missing_exchange_ends_their_channel_only(
    bench: Bench,
) -> None:
    await bench.publishing()
    missing: list[NotDeclared] = []

    async def is_missing(error: NotDeclared) -> None:
        missing.append(error)

    unconfirmed = Unconfirmed(lambda: bench.publisher, "test h:1:a", is_missing)
    exchange, key = bench.queue.exchange, bench.queue.routing_key
    bodies = [b"{}", b"x" * LARGE, b""]
    for body in bodies:
        await unconfirmed.publish(exchange, key, body)
    await unconfirmed.publish(exchange, "nowhere", b"dropped")
    await bench.consuming()
    await eventually(lambda: len(bench.delivered) == 3)
    assert [delivery.body for delivery in bench.delivered] == bodies
    assert {(each.kind, each.message_id) for each in bench.delivered} == {(key, "test h:1:a")}

    await unconfirmed.publish("missing", key, b"lost")
    # Not sooner: what the library sends to a channel that is closing ends its connection.
    await eventually(lambda: unconfirmed._lost is not None)
    await unconfirmed.publish(exchange, key, b"again")
    assert len(missing) == 1
    await eventually(lambda: bench.delivered[-1].body == b"again")
    await bench.publisher.lost(timeout=0)  # it goes on


async def test_a_returned_delivery_is_the_next_one_again(bench: Bench) -> None:
    channel = await bench.publishing()
    await bench.publish(channel, "a")
    await bench.publish(channel, "b")
    await bench.consuming(prefetch=1)
    await eventually(lambda: len(bench.delivered) == 1)
    await bench.delivered[0].requeue()
    await eventually(lambda: len(bench.delivered) == 2)
    assert [delivery.message_id for delivery in bench.delivered] == ["a", "a"]
    assert bench.delivered[1].delivery_count == 1
    assert bench.delivered[1].redelivered


async def test_a_further_consumer_comes_and_goes_between_deliveries(bench: Bench) -> None:
    """The answers to both requests go through aiormq, the deliveries around them do not."""
    channel = await bench.publishing()
    consuming = await bench.consuming()
    await bench.publish(channel, "b")
    await eventually(lambda: len(bench.delivered) == 1)
    await bench.delivered[0].ack()
    await consuming.activate(bench.queue.name)
    await bench.publish(channel, "c")
    await eventually(lambda: len(bench.delivered) == 2)
    await bench.delivered[1].ack()
    await consuming.close()
    assert await bench.publisher.ready_messages(bench.queue.name) == 0


async def test_a_deleted_queue_is_noticed(bench: Bench) -> None:
    await bench.publishing()
    consuming = await bench.consuming()
    await bench.publisher.delete(queue=bench.queue.name)

    def is_noticed() -> bool:
        try:
            consuming.check()
        except BrokerUnavailable:
            return True
        return False

    await eventually(is_noticed)
