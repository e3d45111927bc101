"""A look changes nothing, and a replay restores the order, whatever the order of the queue is."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import aio_pika
import pytest

from bridge.broker.connection import connect
from bridge.dead_letters import queue as letters, reading as passes
from bridge.dead_letters.causes import by_cause
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge
from bridge.dead_letters.replay import IN_FLIGHT, Replay
from bridge.messages import INBOUND, DeadLetter, Delivery, InboundMessage, Reply
from tests.support.dead_letters import Dead
from tests.support.fakes import a_reply, an_inbound
from tests.support.waiting import eventually

T = 1_700_000_000.0


def received(conversations: int, each: int) -> list[InboundMessage]:
    """Return messages with the times at which they were received."""
    return [
        an_inbound(f"u{c}-{n}", sender_id=f"u{c}", text=str(n), received_at=T + n)
        for n in range(each)
        for c in range(conversations)
    ]


async def partitions(dead: Dead, total: int, flow: str = "inbound") -> dict[str, list[int]]:
    """Take what was replayed: conversation → number of each message, in the order of the queue."""
    topology = dead.topology
    queues = topology.inbound_queues() if flow == "inbound" else topology.reply_queues("callback")
    arrived: list[Delivery] = []
    async with connect(dead.project.broker_url, "test") as connection:
        channel = await connection.consumer_channel(1000)
        for queue in queues:
            await channel.consume(queue.name, arrived.append, no_ack=True)
        await eventually(lambda: len(arrived) >= total, f"{total} were replayed")
    found: dict[str, list[int]] = defaultdict(list)
    for delivery in arrived:
        body = json.loads(delivery.body)
        found[body.get("sender_id") or body["recipient_id"]].append(int(body["text"]))
    return dict(found)


async def shuffle(dead: Dead, number: int, flow: str = "inbound") -> None:
    """Return the first dead letters in any order: RabbitMQ makes a consumer of each `get`."""
    connection = await aio_pika.connect(dead.project.broker_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"{dead.topology.dead_exchange}.{flow}", ensure=False)
        for _ in range(number):
            await queue.get()


async def test_no_look_changes_the_order(dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when all dead letters were returned before, and the look needs a few of them only."""
    monkeypatch.setattr(passes, "PREFETCH", 20)
    await dead.put_all(received(30, 10))
    url, topology = dead.project.broker_url, dead.topology
    among = await letters.depths(url, topology, Filter())
    pages: list[list[str]] = []

    def show(page: list[DeadLetter], _: int | None) -> None:
        pages.append([letter.id for letter in page])

    def first(limit: int, **fields: str) -> Callable[[], Awaitable[object]]:
        return lambda: letters.first(url, topology, Filter(**fields), limit, show)  # type: ignore[arg-type]

    async def left_early() -> None:
        async with aclosing(letters.scan(url, topology, Filter(), among)) as found:
            async for _ in found:
                return

    async def stopped_purge() -> None:
        work = Purge(url, topology, Filter(id="none"))
        await work.run(among, None, work.stop)
        assert not work.is_complete

    before = await raw_ids(dead)
    looks: dict[str, Callable[[], Awaitable[object]]] = {
        "a page": first(5),
        "a larger page": first(55),
        "an early end": left_early,
        "all of them": lambda: by_cause(url, topology, Filter(), among),
        "a page of what was returned": first(5),
        "a larger one": first(25),
        "a conversation": first(3, conversation="u7"),
        "a scan that is left": left_early,
        "a purge that is interrupted": stopped_purge,
        "a command": lambda: run(dead, "list", "--limit", "1"),
    }
    for name, look in looks.items():
        await look()
        assert await raw_ids(dead) == before, name
    assert pages[0] == before[:5] == pages[2]
    assert pages[4] == [f"u7-{n}" for n in range(3)]


async def run(dead: Dead, *arguments: str) -> None:
    assert dead.run(*arguments).returncode == 0


async def raw_ids(dead: Dead) -> list[str]:
    """Return the ids in the order of the queue, read by one consumer that holds all of them."""
    name, arrived = f"{dead.topology.dead_exchange}.inbound", list[Delivery]()
    async with connect(dead.project.broker_url, "test") as connection:
        total = await connection.ready_messages(name)
        channel = await connection.consumer_channel(10_000)
        await channel.consume(name, arrived.append)
        await eventually(lambda: len(arrived) == total)
        await channel.close()

    async def back() -> bool:
        return await dead.depth("dead.inbound") == total

    await eventually(back)
    return [delivery.message_id or "" for delivery in arrived]


@pytest.mark.parametrize("flow", ["inbound", "replies"])
async def test_a_replay_restores_each_conversations_order(dead: Dead, flow: str) -> None:
    messages: list[InboundMessage | Reply] = list(received(10, 30))
    if flow == "replies":
        messages = [
            a_reply(f"e:{n}", recipient_id=f"u{c}", text=str(n), created_at=T + n // 7)
            for n in range(30)
            for c in range(10)
        ]
    random.Random(7).shuffle(messages)
    for message in messages:
        await dead.put(message)
    await shuffle(dead, 123, flow)
    ran = dead.run("replay", "--yes")
    assert (ran.returncode, ran.stdout) == (0, "replayed 300 dead letters\n")
    assert await partitions(dead, 300, flow) == {f"u{c}": list(range(30)) for c in range(10)}


def stop_when(work: Replay, condition: Callable[..., bool]) -> Callable[[], None]:
    def tick() -> None:
        if condition():
            work.stop()

    return tick


async def test_an_interrupted_replay_knows_what_is_left_and_repeats_nothing(dead: Dead) -> None:
    await dead.put_all(received(20, 30))
    await shuffle(dead, 234)
    work = Replay(dead.project.broker_url, dead.topology, Filter())
    await work.run({INBOUND: 600}, letters.nothing, stop_when(work, lambda: work.replayed >= 99))
    assert (work.is_complete, work.is_read, work.found) == (False, True, 600)
    assert 99 <= work.replayed <= 99 + IN_FLIGHT
    assert work.left == 600 - work.replayed
    assert await dead.waiting() == work.replayed
    assert len(await dead.ids()) == work.left
    ran = dead.run("replay", "--yes")
    assert (ran.returncode, ran.stdout) == (0, f"replayed {work.left} dead letters\n")
    assert await partitions(dead, 600) == {f"u{c}": list(range(30)) for c in range(20)}


async def test_a_replay_interrupted_while_it_reads_changes_nothing(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when all dead letters were returned before."""
    monkeypatch.setattr(passes, "PREFETCH", 20)
    await dead.put_all(received(20, 15))
    before = await raw_ids(dead)
    for number in (1, 20, 77):
        work = Replay(dead.project.broker_url, dead.topology, Filter())
        await work.run({INBOUND: 300}, stop_when(work, lambda w=work, n=number: w.found >= n - 1))
        assert (work.is_complete, work.is_read, work.replayed) == (False, False, 0)
        assert await raw_ids(dead) == before
    assert await dead.waiting() == 0


async def test_causes_are_listed_and_each_can_be_replayed(dead: Dead) -> None:
    for n in range(5):
        await dead.put(a_reply(f"e{n}:0"), status=503, error="RetryableDeliveryError: x")
    for n in range(3):
        await dead.put(an_inbound(f"e{n}", sender_id=f"u{n}"), error="KeyError: secret")
    ran = dead.run("list", "--by", "cause")
    assert (ran.returncode, ran.stderr) == (0, "")
    header, first, second, _, hint = [line.split() for line in ran.stdout.splitlines()]
    assert header == ["letters", "oldest", "newest", "flow", "channel", "reason", "cause"]
    assert first == ["5", "1m", "1m", "replies", "callback", "failed", "HTTP", "503"]
    assert second == ["3", "1m", "1m", "inbound", "callback", "failed", "KeyError"]
    assert "secret" not in ran.stdout
    (largest, _) = dead.run("list", "--by", "cause", "--json").stdout.splitlines()
    assert {**json.loads(largest), "oldest": 0, "newest": 0} == {
        "flow": "replies",
        "channel": "callback",
        "reason": "failed",
        "cause": "HTTP 503",
        "letters": 5,
        "oldest": 0,
        "newest": 0,
    }
    options = ["--channel", "callback", "--reason", "failed", "--cause", "HTTP 503"]
    assert "'HTTP 503'" in ran.stdout
    assert hint[-len(options) - 1 : -2] == [*options[:-1]]
    assert dead.run("replay", "--yes", *options).stdout == "replayed 5 dead letters\n"
    assert [await dead.depth(f"dead.{flow}") for flow in ("inbound", "replies")] == [3, 0]
    assert "no dead letter matches" in dead.run("list", "--by", "cause", *options).stdout
