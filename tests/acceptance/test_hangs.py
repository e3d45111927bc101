"""Turns that hang, ignore their cancellation, or block their worker, under load.

Each bad message is dead-lettered after three attempts, wherever they ran. No other one is, and the
others go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from bridge.processing.quarantine import CONVICTED_AFTER
from bridge.runtime.health import STALLED
from tests.support.ledger import Entry
from tests.support.load import HANDLER
from tests.support.processes import Process
from tests.support.system import CONCURRENCY, System, longer
from tests.support.waiting import eventually

BAD_HANDLER = (
    HANDLER
    + """
import re
import time

harmless = handle
STARTED = os.open("started.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def hang():
    await asyncio.Event().wait()


async def wait():
    while not os.path.exists("go"):
        await asyncio.sleep(0.1)


async def deaf():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


async def finally_hang():
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.Event().wait()


async def block():
    time.sleep(float(os.environ["BLOCK"]))


async def block_in_a_child():
    async def child():
        time.sleep(float(os.environ["BLOCK"]))

    await asyncio.gather(child())


async def regex():
    re.match("(a+)+$", "a" * 64 + "b")


async def handle(message, output):
    bad = globals().get(message.sender_id.partition("-")[0])
    if bad is not None:
        os.write(STARTED, f"{message.text}\\n".encode())
        await bad()
    await harmless(message, output)
"""
)

RATE = longer(25, 60)
"""Messages per second, beside the bad ones."""
SHORT_HEARTBEAT = 100
"""Replies that a deliver process may repeat, with a mark: on a busy machine, it may miss heartbeats
of two seconds."""


def started(system: System) -> Counter[str]:
    """Return how often each bad message was started."""
    log = system.project.directory / "started.log"
    return Counter(log.read_text().split() if log.exists() else [])


def bad(kind: str, number: int) -> list[Entry]:
    return [Entry(f"{kind}-{n}", 0) for n in range(number)]


async def start(system: System, *options: str, heartbeat: int = 0, **env: str) -> Process:
    """Start everything, with two supervised workers."""
    system.project.write("handler.py", BAD_HANDLER)
    if heartbeat:
        endpoints = system.project.directory / "endpoints.yml"
        url = system.project.broker_url
        text = endpoints.read_text().replace(url, f"{url}?heartbeat={heartbeat}")
        system.project.write("endpoints.yml", text)
    system.load.ports.pop()
    await asyncio.gather(system.project.webhook(system.ports[0]), system.project.deliver())
    command = ["worker", "--processes", "2", "--handler", "handler:handle", *options]
    workers = system.project.bridge(*command, env=env)
    await workers.prints("consuming", count=2)
    return workers


async def test_turns_that_never_end_are_cancelled_and_dead_lettered_as_timed_out(
    system: System,
) -> None:
    hanging = bad("hang", 2 * CONCURRENCY)  # every slot of both workers
    await start(system, "--turn-timeout", "1.5")
    async with system.load.running(conversations=20, rate=RATE):
        await system.progress(40)
        await system.load.send(*hanging)
        await eventually(lambda: sum(started(system).values()) == CONVICTED_AFTER * len(hanging))
        await system.progress(longer(50, 1000))
    ledger = await system.load.settled()
    ledger.check(dead=hanging)
    assert ledger.reasons == {"timed out DeadlineExceeded: not finished within 1.5 s": len(hanging)}
    assert set(started(system).values()) == {CONVICTED_AFTER}


async def test_turns_that_wait_do_not_hold_up_other_conversations(system: System) -> None:
    await start(system)
    async with system.load.running(conversations=20, rate=RATE):
        await system.progress(20)
        await system.load.send(*bad("wait", 40))  # more than there are slots
        await eventually(lambda: len(started(system)) == 40)
        await system.progress(longer(100, 1000))
        assert not any(e.conversation.startswith("wait") for e in system.load.ledger.run)
        system.project.write("go", "")
    (await system.load.settled()).check()


@pytest.mark.parametrize("kind", longer(["deaf"], ["deaf", "finally_hang"]))
async def test_a_turn_that_ignores_its_cancellation_ends_its_process_and_is_convicted(
    system: System, kind: str
) -> None:
    (deaf,) = bad(kind, 1)
    workers = await start(system, "--turn-timeout", "3", "--grace", "3")
    async with system.load.running(conversations=20, rate=RATE):
        await system.progress(40)
        await system.load.send(deaf)
        await workers.prints(f"ended with code {STALLED}; restarting", count=CONVICTED_AFTER)
        await system.progress(longer(50, 1000))
    ledger = await system.load.settled()
    ledger.check(repeated_turns=CONVICTED_AFTER * CONCURRENCY, dead=[deaf])
    assert ledger.reasons == {"timed out DeadlineExceeded: not finished in time": 1}
    assert set(started(system).values()) == {CONVICTED_AFTER}


@pytest.mark.parametrize("kind", longer(["block_in_a_child"], ["block", "block_in_a_child"]))
async def test_a_turn_that_blocks_its_event_loop_is_convicted_wherever_it_runs(
    system: System, kind: str
) -> None:
    (blocker,) = bad(kind, 1)
    workers = await start(system, heartbeat=2, BLOCK="10")
    async with system.load.running(conversations=20, rate=RATE):
        await system.progress(40)
        await system.load.send(blocker)
        await workers.prints("a message blocks the event loop")
        # The other worker goes on.
        await system.progress(longer(50, 1000))
    ledger = await system.load.settled()
    ledger.check(
        repeated_turns=(CONVICTED_AFTER + 1) * CONCURRENCY,
        repeated_replies=SHORT_HEARTBEAT,
        dead=ledger.dead,
    )
    # One that returns to a process which completed it has had its effect.
    assert {*ledger.dead} <= {blocker}
    assert started(system)[f"{blocker.conversation}/0"] <= CONVICTED_AFTER


async def test_a_turn_that_blocks_its_event_loop_for_ever_ends_its_process_and_is_convicted(
    system: System,
) -> None:
    (blocker,) = bad("block", 1)
    workers = await start(system, "--turn-timeout", "6", heartbeat=2, BLOCK="3600")
    async with system.load.running(conversations=20, rate=RATE):
        await system.progress(40)
        await system.load.send(blocker)
        await workers.prints(f"ended with code {STALLED}; restarting", count=CONVICTED_AFTER)
        await system.progress(longer(50, 1000))
    ledger = await system.load.settled()
    ledger.check(
        repeated_turns=(CONVICTED_AFTER + 1) * CONCURRENCY,
        repeated_replies=SHORT_HEARTBEAT,
        dead=[blocker],
    )
    assert started(system)[f"{blocker.conversation}/0"] == CONVICTED_AFTER


async def test_sigterm_ends_a_worker_whatever_its_turns_do(system: System) -> None:
    system.project.write("handler.py", BAD_HANDLER)
    system.load.ports.pop()
    await system.project.webhook(system.ports[0])
    worker = await system.project.worker("--handler", "handler:handle", "--grace", "1")
    await system.load.send(*bad("deaf", 3), *bad("finally_hang", 3), *bad("hang", 3))
    await eventually(lambda: len(started(system)) == 9)
    worker.terminate()
    assert await worker.ends() == STALLED
