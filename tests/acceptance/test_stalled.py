"""A conversation or recipient that fails for a while: the others of its partition are not delayed,
and its own messages stay in order, whichever processes die or join meanwhile."""

from __future__ import annotations

import asyncio
import time

from tests.support.ledger import Entry
from tests.support.load import Load
from tests.support.processes import Project
from tests.support.service import FakeService, Trouble
from tests.support.system import CONCURRENCY, System, longer
from tests.support.waiting import eventually

STALLED = "stalled"
BURST = longer(100, 500)
DELAY = 4.0
"""Seconds that the others may be delayed: far more than on a machine that is not busy with other
tests (`docs/explanation/ordering.md`). Without overflow queues they would not be served."""

HANDLER = """
import asyncio
import os

LOG = os.open("turns.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def handle(message, output):
    await asyncio.sleep(0.02)
    if message.sender_id == "stalled" and os.path.exists("down"):
        raise ValueError("down")
    await output.send_text_message(message.sender_id, message.text)
    os.write(LOG, f"{message.text}\\n".encode())
"""


def one_partition(project: Project) -> None:
    endpoints = (project.directory / "endpoints.yml").read_text()
    partitions = endpoints.replace("inbound: 4, replies: 2", "inbound: 1, replies: 1")
    project.write("endpoints.yml", partitions)


def burst() -> list[Entry]:
    return [Entry(STALLED, n) for n in range(BURST)]


class Others:
    """How long the replies of the other conversations take."""

    def __init__(self, load: Load, service: FakeService) -> None:
        self._load = load
        self._service = service
        self._since = 0.0

    def start(self) -> None:
        self._since = time.monotonic()

    def waits(self) -> list[float]:
        """Seconds from each message sent since `start` to its reply, or until now."""
        at = {call.body["text"]: call.at for call in reversed(self._service.accepted)}
        now = time.monotonic()
        return sorted(
            at.get(f"{name.conversation}/{name.number}", now) - began
            for name, began in self._load.began.items()
            if name.conversation != STALLED and began >= self._since
        )

    async def are_served(self, messages: int) -> None:
        """Wait until this many have been sent, and check that their replies came soon."""
        self.start()
        await eventually(lambda: len(self.waits()) >= messages)
        waits = self.waits()
        assert waits[int(len(waits) * 0.99)] < DELAY, waits[-20:]


async def test_a_failing_conversation_delays_no_other_and_survives_kills_and_takeovers(
    system: System,
) -> None:
    one_partition(system.project)
    system.project.write("handler.py", HANDLER)
    down = system.project.write("down", "")
    _, [worker], _ = await system.start(workers=1)
    others = Others(system.load, system.load.service)
    async with system.load.running(conversations=10, rate=40):
        await system.load.send(*burst())
        await worker.prints("overflows")
        await others.are_served(100)
        # Another process goes on where this one is killed, and again once it settles messages.
        for _ in range(2):
            following = await system.worker()
            worker.kill()
            await following.prints("overflows")
            worker = following
            down.unlink(missing_ok=True)
            await system.progress(20)
        joining = [await system.worker() for _ in range(3)]
        await system.progress(50)
    ledger = await system.load.settled()
    ledger.check(repeated_turns=2 * CONCURRENCY)
    assert all(process.popen.poll() is None for process in joining)


async def test_a_failing_recipient_delays_no_other_and_survives_kills(
    project: Project, service: FakeService, ledgers: dict[str, Load]
) -> None:
    system = System(project, service)
    ledgers["a failing recipient"] = system.load
    one_partition(project)
    trouble = Trouble({STALLED: "500"})
    service.answer = trouble.answer
    await asyncio.gather(system.project.webhook(system.ports[0]), system.worker())
    deliver = await project.deliver("--prefetch", "8")
    system.load.ports = system.ports[:1]
    others = Others(system.load, service)
    async with system.load.running(conversations=10, rate=40):
        await system.load.send(*burst())
        await deliver.prints("overflows")
        await others.are_served(100)
        following = await project.deliver("--prefetch", "8")
        deliver.kill()
        await following.prints("overflows")
        trouble.end()
        await system.progress(50)
    ledger = await system.load.settled()
    ledger.check(repeated_replies=20)
