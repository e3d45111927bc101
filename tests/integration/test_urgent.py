"""Urgent messages overtake a backlog; two processes never run one conversation at a time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from tests.support.backlog import Rest, enqueue, percentile, waiting
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

HANDLER = """
import asyncio
import json
import os
import time

LOG = os.open("turns.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def handle(message, output):
    began = time.monotonic()
    await asyncio.sleep({seconds})
    await output.send_text_message(message.sender_id, message.text)
    turn = message.channel, message.sender_id, message.text, began, time.monotonic(), os.getpid()
    os.write(LOG, (json.dumps(turn) + "\\n").encode())
"""


class Turns:
    """The turns that ended, as the handlers recorded them."""

    def __init__(self, directory: Path) -> None:
        log = directory / "turns.log"
        lines = log.read_text().splitlines() if log.exists() else []
        self.all = [json.loads(line) for line in lines]

    def number(self, channel: str) -> int:
        return sum(turn[0] == channel for turn in self.all)

    def check(self) -> None:
        """Check that no two turns of a conversation overlap, and the order in each channel."""
        by_conversation = defaultdict(list)
        for channel, sender, text, began, ended, pid in self.all:
            by_conversation[sender].append((began, ended, channel, text, pid))
        for turns in by_conversation.values():
            turns.sort()
            for before, after in pairwise(turns):
                assert before[1] <= after[0], f"two turns at once: {before}, {after}"
            for channel in ("callback", "rest"):
                numbers = [int(t[3].rpartition("/")[2]) for t in turns if t[2] == channel]
                first = list(dict.fromkeys(numbers))
                assert first == sorted(first), f"{channel} out of order: {first}"

    def repeated(self) -> int:
        return sum(n - 1 for n in Counter((t[0], t[1], t[2]) for t in self.all).values())


@pytest.fixture
def topology(namespace: str) -> Topology:
    return Topology(namespace, 4, 2, ["callback", "bulk"])


@pytest.fixture
def system(project: Project, service: FakeService) -> Project:
    url = f"  url: {service.url}\n"
    bulk = f"bulk:\n  channel: callback\n  priority: low\n{url}"
    project.write("credentials.yml", f"rest:\ncallback:\n{url}{bulk}")
    project.write("handler.py", HANDLER.replace("{seconds}", "0.03"))
    return project


async def start(system: Project, port: int, workers: int = 1) -> list[Process]:
    await system.webhook(port)
    return [await system.worker("--handler", "handler:handle") for _ in range(workers)]


async def test_rest_overtakes_a_burst_of_another_channel(
    system: Project, topology: Topology, port: int
) -> None:
    await system.webhook(port)
    await enqueue(system.broker_url, topology, 6000, text="{}")
    await system.worker("--handler", "handler:handle")
    await eventually(lambda: Turns(system.directory).number("callback") > 50)
    rest = Rest(port, "0")
    await rest.load(rate=20, seconds=2)
    left = await waiting(system.broker_url, topology)
    assert left > 3000, "the backlog is still there"
    assert len(rest.latencies) == 40
    assert percentile(rest.latencies, 99) < 6000 / 4 * 0.03 / 16, "before the backlog"


async def test_rest_overtakes_a_burst_of_its_own_conversation(
    system: Project, topology: Topology, port: int
) -> None:
    """The burst is in an overflow queue: `rest` waits for the turn that runs, not for all."""
    system.write("handler.py", HANDLER.replace("{seconds}", "0.3"))
    await system.webhook(port)
    await enqueue(system.broker_url, topology, 100, conversations=1, text="{}")
    await system.worker("--handler", "handler:handle")
    await eventually(lambda: Turns(system.directory).number("callback") > 4)
    rest = Rest(port)
    async with aiohttp.ClientSession() as http:
        for number in range(10):
            rest.text = f"rest/{number}"
            await rest.ask(http, "c0")
    turns = Turns(system.directory)
    assert turns.number("rest") == 10
    assert turns.number("callback") < 50, "the burst is still there"
    turns.check()


async def test_a_channel_of_low_priority_does_not_delay_the_others(
    system: Project, topology: Topology, port: int
) -> None:
    await system.webhook(port)
    await enqueue(system.broker_url, topology, 4000, text="{}", priority="low")
    await system.worker("--handler", "handler:handle")
    await eventually(lambda: Turns(system.directory).number("callback") > 50)
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
    async with aiohttp.ClientSession() as http:
        body = {"sender": "ada", "message": "normal/0"}
        async with http.post(url, json=body) as response:
            assert response.status == 200
    await eventually(lambda: any(t[2] == "normal/0" for t in Turns(system.directory).all))
    assert await waiting(system.broker_url, topology) > 2000


async def test_two_workers_never_run_one_conversation_at_once(
    system: Project, topology: Topology, port: int
) -> None:
    """Conversations on two channels, while workers join, leave and are killed.

    The turns of one channel are long, so a partition moves while one of them still runs.
    """
    seconds = "0.3 if message.channel == 'callback' else 0.03"
    system.write("handler.py", HANDLER.replace("{seconds}", seconds))
    (first,) = await start(system, port)
    rest = Rest(port)
    talking = True

    async def talk(http: aiohttp.ClientSession, sender: str) -> None:
        number = 0
        while talking:
            body = {"sender": sender, "message": f"{sender}/{number}", "message_id": f"{number}"}
            url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
            async with http.post(url, json=body) as response:
                assert response.status == 200
            rest.text = f"{sender}/{number}"
            await rest.ask(http, sender)
            number += 1

    async with aiohttp.ClientSession() as http:
        senders = [f"s{n}" for n in range(16)]
        conversations = [asyncio.create_task(talk(http, sender)) for sender in senders]

        async def more(turns: int) -> None:
            goal = Turns(system.directory).number("rest") + turns
            await eventually(lambda: Turns(system.directory).number("rest") >= goal)

        await more(20)
        second = await system.worker("--handler", "handler:handle")
        await more(30)
        third = await system.worker("--handler", "handler:handle")
        await more(20)
        first.terminate()
        assert await first.ends() == 0
        await more(30)
        second.kill()
        await more(30)
        talking = False
        await asyncio.gather(*conversations)
    await eventually(lambda: Turns(system.directory).number("callback") >= len(rest.latencies))
    turns = Turns(system.directory)
    turns.check()
    assert not rest.failures
    # Which partitions a worker gets depends on its name. The second one may have had none.
    assert {turn[5] for turn in turns.all} >= {w.popen.pid for w in (first, third)}
    # The turns that the killed worker was running, on each channel.
    assert turns.repeated() <= 2 * len(senders)


async def test_a_worker_that_joins_need_not_wait_for_what_others_have_prefetched(
    system: Project, topology: Topology, port: int
) -> None:
    endpoints = (system.directory / "endpoints.yml").read_text()
    system.write("endpoints.yml", endpoints.replace("inbound: 4", "inbound: 16"))
    system.write("handler.py", HANDLER.replace("{seconds}", "0.1"))
    arguments = ("--handler", "handler:handle", "--concurrency", "1")
    topology = Topology(topology.namespace, 16, 2, ["callback", "bulk"])
    await system.webhook(port)
    await enqueue(system.broker_url, topology, 2000, text="{}")
    await system.worker(*arguments)
    await eventually(lambda: Turns(system.directory).number("callback") > 20)
    second = await system.worker(*arguments)

    def turns(channel: str, *, of_second: bool) -> int:
        of = [turn for turn in Turns(system.directory).all if turn[0] == channel]
        return sum((turn[5] == second.popen.pid) == of_second for turn in of)

    before = turns("callback", of_second=False)
    rest = Rest(port)
    async with aiohttp.ClientSession() as http:
        while not turns("rest", of_second=True):  # some partition is the second one's
            rest.text = f"rest/{len(rest.latencies)}"
            await rest.ask(http, f"r{len(rest.latencies)}")
    # It holds 16 messages of each of 16 partitions.
    assert turns("callback", of_second=False) - before < 100
    Turns(system.directory).check()


async def test_a_token_does_not_outlive_its_process(
    system: Project, topology: Topology, port: int
) -> None:
    (worker,) = await start(system, port)
    rest = Rest(port, "0")
    await rest.load(rate=20, seconds=1)
    worker.terminate()
    assert await worker.ends() == 0
    async with connect(system.broker_url, "test") as connection:
        depths = await connection.depths(queue.name for queue in topology.queues())
    assert sum(depth.ready for depth in depths.values()) == 0
    assert len(rest.latencies) == 20
