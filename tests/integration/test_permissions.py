"""The broker users in deploy/rabbitmq/definitions.json have exactly the permissions they need."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pytest
from aiormq.exceptions import ChannelAccessRefused

from bridge.broker.arguments import DELIVERY_LIMIT
from bridge.broker.connection import connect
from bridge.broker.declare import check_topology, ensure_topology
from bridge.broker.stream import trace_stream
from bridge.broker.topology import Topology
from bridge.doctor.broker import check_trace
from tests.support.broker import TOP, Broker
from tests.support.cli import run_bridge
from tests.support.handlers import EVERYTHING
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

DEFINITIONS = (TOP / "deploy" / "rabbitmq" / "definitions.json").read_text()
PASSWORD = "x1"

Act = Callable[[Any, str], Awaitable[Any]]


def definitions(namespace: str) -> str:
    """Return the definitions for another namespace, with one password for all users."""
    return re.sub(r"\$\{\w+\}", PASSWORD, DEFINITIONS).replace("bridge", namespace)


def url_of(broker: Broker, user: str) -> str:
    return f"amqp://{user}:{PASSWORD}@127.0.0.1:{broker.port}/"


@pytest.fixture(scope="module")
def users(broker: Broker) -> str:
    """Import the users for a namespace, declare its topology as `topology`; return its name."""
    topology = Topology(f"test{secrets.token_hex(4)}", 4, 2, ["callback"], True, ["callback"])
    broker.import_definitions(definitions(topology.namespace))

    async def declare_all() -> None:
        async with connect(url_of(broker, "topology"), "test") as connection:
            await ensure_topology(connection, topology)
            await connection.declare((), [trace_stream(topology)], passive=False)

    asyncio.run(declare_all())
    return topology.namespace


# ---- what the users try --------------------------------------------------------------------------


async def ignore(message: Any) -> None:
    """Do not ack the message, so that it is requeued."""


def publish(exchange: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        name = exchange and f"{namespace}.{exchange}"
        where = await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
        await where.publish(aio_pika.Message(b""), "nowhere", mandatory=False)

    return act


def consume(queue: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        await (await channel.get_queue(f"{namespace}.{queue}")).consume(ignore)

    return act


def purge(queue: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        await (await channel.get_queue(f"{namespace}.{queue}")).purge()

    return act


def delete(queue: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        await channel.queue_delete(f"{namespace}.{queue}", if_unused=False, if_empty=False)

    return act


def declare(queue: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        await channel.declare_queue(f"{namespace}.{queue}", durable=True)

    return act


def bind(queue: str, exchange: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        await (await channel.get_queue(f"{namespace}.{queue}")).bind(f"{namespace}.{exchange}", "k")

    return act


def listen(exchange: str) -> Act:
    """Bind a private queue to an exchange and consume it."""

    async def act(channel: Any, namespace: str) -> None:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(f"{namespace}.{exchange}", queue.name)
        await queue.consume(ignore)

    return act


async def count_attempt(channel: Any, namespace: str) -> None:
    queue = await channel.declare_queue(f"{namespace}.attempts.1", durable=True)
    await queue.bind(f"{namespace}.private", queue.name)
    private = await channel.get_exchange(f"{namespace}.private", ensure=False)
    await private.publish(aio_pika.Message(b""), queue.name)
    await channel.declare_queue(queue.name, passive=True)
    await channel.queue_delete(queue.name, if_unused=False, if_empty=False)


async def overflow(channel: Any, namespace: str) -> None:
    dead = {"x-dead-letter-exchange": f"{namespace}.dead"}
    queue = await channel.declare_queue(f"{namespace}.overflow.1", durable=True, arguments=dead)
    await queue.bind(f"{namespace}.private", queue.name)
    private = await channel.get_exchange(f"{namespace}.private", ensure=False)
    await private.publish(aio_pika.Message(b""), queue.name)
    await queue.get(fail=False)
    await channel.queue_delete(queue.name, if_unused=False, if_empty=False)


async def share_a_rate_limit(channel: Any, namespace: str) -> None:
    """Do what `broker.pace` does: a queue for requests, and a private one for answers."""
    requests = await channel.declare_queue(f"{namespace}.pace.callback", auto_delete=True)
    answers = await channel.declare_queue(f"{namespace}.pace.callback.1", exclusive=True)
    for queue in (requests, answers):
        await queue.bind(f"{namespace}.private", queue.name)
        await queue.consume(ignore)


async def hear_requests_for_partitions(channel: Any, namespace: str) -> None:
    """Do what `broker.handover` does."""
    queue = await channel.declare_queue(f"{namespace}.handover.1", exclusive=True)
    await queue.bind(f"{namespace}.private", f"{namespace}.handover")
    await queue.consume(ignore)


def be_present(what: str) -> Act:
    async def act(channel: Any, namespace: str) -> None:
        """Do what `broker.presence` does."""
        queue = await channel.declare_queue(f"{namespace}.present.{what}", durable=True)
        await queue.consume(ignore)

    return act


async def look_for_a_pause(channel: Any, namespace: str) -> None:
    """Do what `broker.pauses.PauseWatch` does."""
    await channel.declare_queue(f"{namespace}.paused.inbound", durable=True)
    await channel.declare_queue(f"{namespace}.paused.inbound", passive=True)


async def pause(channel: Any, namespace: str) -> None:
    """Do what `broker.pauses.pause` and `resume` do."""
    queue = await channel.declare_queue(f"{namespace}.paused.note.inbound", durable=True)
    await queue.bind(f"{namespace}.reports", "paused.inbound")
    reports = await channel.get_exchange(f"{namespace}.reports", ensure=False)
    await reports.publish(aio_pika.Message(b""), "paused.inbound")
    await queue.get(fail=False)
    await queue.purge()


async def read_the_trace(channel: Any, namespace: str) -> None:
    """Do what `broker.stream` does."""
    await channel.set_qos(prefetch_count=10)
    await (await channel.get_queue(f"{namespace}.trace")).consume(ignore)


async def hear_what_was_seen(channel: Any, namespace: str) -> None:
    """Do what `broker.seen` does."""
    queue = await channel.declare_queue(f"{namespace}.socketio.seen.1", exclusive=True)
    await queue.bind(f"{namespace}.socketio", queue.name)
    await queue.consume(ignore)


async def delete_exchange(channel: Any, namespace: str) -> None:
    await channel.exchange_delete(f"{namespace}.reports")


QUEUES = (
    *("inbound.00", "inbound.high.00", "replies.callback.00", "dead.inbound", "dead.replies"),
    *("reminders.due", "reminders.0.25", "receipts.in.callback"),
)
EXCHANGES = (
    *("inbound", "replies", "dead", "private", "reports", "reminders", "socketio"),
    *("receipts", "receipts.in"),
)
ACTS: Mapping[str, Act] = {
    **{f"publish to {e}": publish(e) for e in EXCHANGES},
    "publish to any queue": publish(""),
    **{f"listen to {e}": listen(e) for e in EXCHANGES},
    **{f"consume {q}": consume(q) for q in QUEUES},
    **{f"purge {q}": purge(q) for q in QUEUES},
    **{f"bind {q}": bind(q, "replies") for q in QUEUES},
    "count an attempt": count_attempt,
    "overflow": overflow,
    "share a rate limit": share_a_rate_limit,
    "hear requests for partitions": hear_requests_for_partitions,
    "be present": be_present("inbound"),
    "be present as a webhook": be_present("webhook"),
    "look for a pause": look_for_a_pause,
    "pause": pause,
    "read the trace": read_the_trace,
    "delete the trace": delete("trace"),
    "declare a queue for sockets": declare("socketio.chat.1"),
    "hear what was seen": hear_what_was_seen,
    "declare a queue": declare("inbound.04"),
    "delete a queue": delete("inbound.04"),
    "delete an exchange": delete_exchange,
}
MAY = {
    "webhook": {
        *("publish to inbound", "publish to reports", "listen to private"),
        *("publish to receipts.in", "be present as a webhook"),
        *("listen to socketio", "declare a queue for sockets"),
        *("publish to socketio", "hear what was seen"),  # `socketio.*` includes those queues
    },
    "worker": {
        *("publish to inbound", "publish to replies", "publish to dead"),
        *("publish to private", "publish to reports", "count an attempt", "overflow"),
        *("be present", "be present as a webhook", "look for a pause"),
        "hear requests for partitions",
        *("publish to reminders", "consume reminders.due", "purge reminders.due"),
        *("consume inbound.00", "purge inbound.00"),
        *("consume inbound.high.00", "purge inbound.high.00"),
    },
    "deliver": {
        *(f"publish to {exchange}" for exchange in ("dead", "private", "reports", "socketio")),
        # What follows from receipts, besides a dead letter.
        *("publish to inbound", "publish to replies", "publish to receipts"),
        *("publish to receipts.in", "consume receipts.in.callback", "purge receipts.in.callback"),
        *("consume replies.callback.00", "purge replies.callback.00", "count an attempt"),
        "overflow",
        "share a rate limit",
        *("be present", "be present as a webhook", "look for a pause"),
        "hear what was seen",
    },
    "monitor": {
        *("publish to inbound", "publish to replies", "publish to reports", "listen to reports"),
        *("look for a pause", "pause"),
        "read the trace",
        *("consume dead.inbound", "consume dead.replies", "purge dead.inbound"),
        "purge dead.replies",
    },
}
"""User → the names in `ACTS` that it may do. A user that may consume a queue may also purge it:
RabbitMQ has one permission for both."""


@pytest.mark.parametrize("user", MAY)
async def test_a_user_may_do_exactly_what_its_role_does(
    broker: Broker, users: str, user: str
) -> None:
    allowed = set()
    async with await aio_pika.connect(url_of(broker, user)) as connection:
        for name, act in ACTS.items():
            channel = await connection.channel()
            try:
                await act(channel, users)
                allowed.add(name)
                await channel.close()
            except ChannelAccessRefused:
                pass  # the broker has closed the channel
    assert allowed == MAY[user]


async def test_every_user_may_check_the_topology(broker: Broker, users: str) -> None:
    """The roles check by passive declarations, which need no permission."""
    for user in MAY:
        async with connect(url_of(broker, user), "test") as connection:
            await check_topology(connection, Topology(users, 4, 2, ["callback"]))


async def test_the_roles_work_together_with_separate_users(
    broker: Broker, users: str, service: FakeService, port: int, tmp_path: Path
) -> None:
    project = Project(tmp_path, "${AMQP_URL}", users)
    limit = "  rate_limit: 50\n"
    project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n{limit}")
    project.write("handlers.py", EVERYTHING)

    def as_user(user: str) -> dict[str, str]:
        return {"AMQP_URL": url_of(broker, user)}

    base = f"http://127.0.0.1:{port}/webhooks"
    try:
        roles = [
            project.bridge("webhook", "-i", "127.0.0.1", "-p", str(port), env=as_user("webhook")),
            project.bridge(
                *("worker", "--handler", "handlers:handle", "--retry-for", "0"),
                env=as_user("worker"),
            ),
            project.bridge("deliver", env=as_user("deliver")),
        ]
        lines = ("collecting replies", "consuming", "consuming")
        await asyncio.gather(*(r.prints(line) for r, line in zip(roles, lines, strict=True)))
        await roles[0].prints("listening on")
        async with aiohttp.ClientSession() as http:
            for channel, text in (("callback", "hello"), ("callback", "fail"), ("rest", "hi")):
                message = {"sender": "u1", "message": text}
                async with http.post(f"{base}/{channel}/webhook", json=message) as response:
                    assert response.status == 200
                    answer = await response.text()
        assert [reply["text"] for reply in json.loads(answer)] == ["hi"]
        await eventually(lambda: service.texts() == ["hello"])

        replayed = run_bridge(tmp_path, "dead", "replay", "--yes", env=as_user("monitor"))
        assert replayed.returncode == 0, replayed.stderr + replayed.stdout
        assert "replayed" in replayed.stdout
        for role in reversed(roles):
            role.terminate()
            assert await role.ends() == 0
    finally:
        project.close()


async def test_the_doctor_names_the_stream_that_a_user_may_not_read(
    broker: Broker, users: str
) -> None:
    topology = Topology(users, 4, 2, ["callback"])
    for user, status in (("worker", "warning"), ("monitor", "ok")):
        async with connect(url_of(broker, user), "test") as connection:
            found = await check_trace(connection, topology)
            assert (found.status, found.subject) == (status, "trace"), found
            assert f"{users}.trace" in found.text
            assert ("permission to read" in found.fix) is (status == "warning")
            await check_topology(connection, topology)  # the connection survives the refusal


def test_the_queue_limits_match_the_topology() -> None:
    limits = {
        parameter["name"]: parameter["value"] for parameter in json.loads(DEFINITIONS)["parameters"]
    }
    topology = Topology(channels=["callback"])
    patterns = {name: re.compile(limit["pattern"]) for name, limit in limits.items()}
    for queue in topology.queues():
        (name,) = [name for name, pattern in patterns.items() if pattern.search(queue.name)]
        limit = limits[name]["definition"]
        # At its limit a queue must refuse new messages instead of dropping old ones.
        assert "reject-publish" in (queue.arguments.get("x-overflow"), limit.get("overflow"))
        assert limit["max-length-bytes"]
        assert limit.get("delivery-limit", DELIVERY_LIMIT) == DELIVERY_LIMIT
    for unlimited in (topology.attempts_counter("k"), "bridge.overflow.inbound.00"):
        assert not any(p.search(unlimited) for p in patterns.values())
