"""Processes that join, leave and shut down under load."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from tests.support.processes import Process
from tests.support.system import System
from tests.support.waiting import eventually

PARTITIONS = 48
"""Enough for each of four workers to get a share, except in one run in a million."""


async def gets_a_share(worker: Process) -> None:
    """Wait until a worker logs that it receives messages from some partitions."""
    await worker.prints(f" of {PARTITIONS} queues")


async def test_workers_that_join_and_leave_get_a_share_and_lose_reorder_and_repeat_nothing(
    system: System,
) -> None:
    endpoints = (system.project.directory / "endpoints.yml").read_text()
    system.project.write("endpoints.yml", endpoints.replace("inbound: 4", f"inbound: {PARTITIONS}"))
    _, workers, _ = await system.start(workers=2)
    async with system.load.running(conversations=200, rate=100):
        await asyncio.gather(*(gets_a_share(worker) for worker in workers))
        workers += await asyncio.gather(system.worker(), system.worker())
        await asyncio.gather(*(gets_a_share(worker) for worker in workers))
        for worker in workers[:2]:
            worker.terminate()
            assert await worker.ends() == 0
            await system.progress()
        await gets_a_share(await system.worker())
        await system.progress()
    (await system.load.settled()).check()


async def test_a_rolling_restart_of_every_role_loses_reorders_and_repeats_nothing(
    system: System,
) -> None:
    webhooks, workers, deliver = await system.start()
    async with system.load.running(conversations=20, rate=60):
        for n, worker in enumerate(workers):
            workers[n] = await system.worker()
            worker.terminate()
            assert await worker.ends() == 0
            await system.progress(10)
        for n, webhook in enumerate(webhooks):
            webhook.terminate()
            assert await webhook.ends() == 0
            webhooks[n] = await system.project.webhook(system.ports[n])
            await system.progress(10)
        deliver.terminate()
        assert await deliver.ends() == 0
        await system.project.deliver()
        await system.progress(10)
    (await system.load.settled()).check()
    assert system.load.refusals == set()


SLOW_HANDLER = """
import asyncio
import os


def note(text):
    with open("turns.log", "a") as log:
        print(text, file=log)


async def handle(message, output):
    note(f"{message.text} began")
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    note(f"{message.text} ended")
"""
"""Turns that last until a file named `go` exists."""


@dataclass
class Slow:
    """Starts workers whose turns take long, and sends them messages."""

    system: System
    http: aiohttp.ClientSession

    async def worker(self, *arguments: str) -> Process:
        return await self.system.project.worker("--handler", "handler:handle", *arguments)

    async def say(self, sender: str) -> None:
        url = f"http://127.0.0.1:{self.system.ports[0]}/webhooks/callback/webhook"
        async with self.http.post(url, json={"sender": sender, "message": sender}) as response:
            assert response.status == 200

    def turns(self) -> list[str]:
        log = self.system.project.directory / "turns.log"
        return log.read_text().splitlines() if log.exists() else []

    async def noted(self, line: str) -> None:
        await eventually(lambda: line in self.turns(), f"{line} in {self.turns()}")

    def go(self) -> None:
        self.system.project.write("go", "")


@pytest_asyncio.fixture
async def slow(system: System, http: aiohttp.ClientSession) -> Slow:
    system.project.write("handler.py", SLOW_HANDLER)
    await system.project.webhook(system.ports[0])
    return Slow(system, http)


async def test_sigterm_lets_running_turns_finish_and_starts_no_new_ones(slow: Slow) -> None:
    worker = await slow.worker()
    await slow.say("anna")
    await slow.noted("anna began")
    worker.terminate()
    await worker.prints("stopping")
    for sender in ("anna", "bert", "carla", "dora"):
        await slow.say(sender)
    slow.go()
    assert await worker.ends() == 0
    assert slow.turns() == ["anna began", "anna ended"]
    await slow.worker()
    for sender in ("bert", "carla", "dora"):
        await slow.noted(f"{sender} ended")
    assert slow.turns().count("anna began") == 2  # one turn for each of her messages


async def test_a_turn_that_outlasts_the_grace_period_runs_again_on_the_next_worker(
    slow: Slow,
) -> None:
    worker = await slow.worker("--grace", "1")
    await slow.say("anna")
    await slow.noted("anna began")
    worker.terminate()
    assert await worker.ends() == 0
    assert "turns still running after 1 s: their messages are redelivered" in worker.log
    slow.go()
    await slow.worker()
    await slow.noted("anna ended")
    assert slow.turns() == ["anna began", "anna began", "anna ended"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_stops_a_worker_at_once_and_its_turn_runs_elsewhere(
    slow: Slow, number: signal.Signals
) -> None:
    worker = await slow.worker()
    await slow.say("anna")
    await slow.noted("anna began")
    worker.terminate()
    await worker.prints("stopping")
    worker.popen.send_signal(number)
    assert await worker.ends() == 128 + number
    slow.go()
    await slow.worker()
    await slow.noted("anna ended")
