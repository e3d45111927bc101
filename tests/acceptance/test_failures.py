"""Turns that fail, and turns that kill their worker: other conversations are not affected."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from bridge.processing.quarantine import CONVICTED_AFTER, QUARANTINE_AFTER
from tests.support.dead import dead_letters
from tests.support.ledger import Entry
from tests.support.load import HANDLER
from tests.support.system import CONCURRENCY, System
from tests.support.waiting import eventually

FAILING_HANDLER = (
    HANDLER
    + """

harmless = handle


async def handle(message, output):
    if message.text == "c0/3":
        raise RuntimeError("the assistant says no")
    await harmless(message, output)
"""
)


async def test_a_failing_turn_is_retried_and_dead_lettered_while_99_conversations_continue(
    system: System,
) -> None:
    project, load = system.project, system.load
    project.write("handler.py", FAILING_HANDLER)
    await asyncio.gather(project.webhook(system.ports[0]), project.deliver())
    worker = await project.worker("--handler", "handler:handle", "--retry-for", "15")
    ledger = load.ledger
    load.ports.pop()
    async with load.running(conversations=100, rate=100):
        await worker.prints("attempt failed (RuntimeError); next attempt in")
        before = Counter(reply.conversation for reply in ledger.delivered)
        await system.progress(300)
        # Every other conversation continued; this one waits for its failing turn.
        after = Counter(reply.conversation for reply in ledger.delivered)
        assert len(after) == 100
        assert all(after[f"c{n}"] > before[f"c{n}"] for n in range(1, 100))
        assert after["c0"] == 3
        await worker.prints("dead-lettered: failed (RuntimeError)")
        await eventually(lambda: Entry("c0", 6) in load.read().delivered)
    (await load.settled()).check(dead=[Entry("c0", 3)])
    (dead,) = await dead_letters(project.broker_url, project.namespace)
    assert dead.headers["reason"] == "failed"
    assert dead.headers["error"] == "RuntimeError: the assistant says no"
    assert dead.headers["conversation"] == "c0"
    assert int(dead.headers["attempts"]) == worker.log.count("attempt failed (") >= 3
    assert 1 < float(dead.headers["last-at"]) - float(dead.headers["first-at"]) < 60


POISONED_HANDLER = (
    HANDLER
    + """

harmless = handle


async def handle(message, output):
    if message.text == "poison/0":
        os._exit(1)
    await harmless(message, output)
"""
)


async def test_a_message_that_kills_its_worker_is_dead_lettered_and_no_other_is(
    system: System, http: aiohttp.ClientSession
) -> None:
    system.project.write("handler.py", POISONED_HANDLER)
    await asyncio.gather(system.project.webhook(system.ports[0]), system.project.deliver())
    url = f"http://127.0.0.1:{system.ports[0]}/webhooks/callback/webhook"
    ledger = system.load.ledger
    for n in range(5):
        for conversation in ("poison", *(f"c{c}" for c in range(20))):
            body = {"sender": conversation, "message": f"{conversation}/{n}"}
            async with http.post(url, json=body) as response:
                assert response.status == 200
            ledger.sent.append(Entry(conversation, n))
            ledger.acknowledged.append(Entry(conversation, n))
    workers = system.project.bridge("worker", "--processes", "2", "--handler", "handler:handle")
    await system.load.settled(patience=180)
    await workers.prints("dead-lettered: poison")
    kills = workers.log.count("ended with code 1")
    assert kills <= QUARANTINE_AFTER + CONVICTED_AFTER
    ledger.check(repeated_turns=kills * CONCURRENCY, dead=[Entry("poison", 0)])
    assert workers.log.count("dead-lettered: ") == 1
