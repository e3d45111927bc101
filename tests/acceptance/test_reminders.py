"""Reminders of a real assistant: each fires once, whatever happens to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.acceptance.reminding import FIRED, Reminding, actions, reminder
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PATIENCE = 120.0


@pytest_asyncio.fixture
async def bot(project: Project, service: FakeService, port: int) -> AsyncIterator[Reminding]:
    bot = Reminding(project, service, port)
    async with actions(bot.actions):
        await asyncio.gather(project.webhook(port), project.deliver())
        yield bot


async def test_each_reminder_fires_once_although_workers_are_killed(bot: Reminding) -> None:
    first = bot.start_worker()
    await bot.works(first)
    senders = [f"user-{n}" for n in range(30)]
    for sender in senders[:15]:
        await bot.say(sender, [reminder(2)])
    await eventually(lambda: len(bot.scheduled()) >= 8, "turns are saved", PATIENCE)
    first.kill()
    # The rest is due while no worker runs.
    second, third = bot.start_worker(), bot.start_worker()
    await bot.works(second)
    for sender in senders[15:]:
        await bot.say(sender, [reminder(1)])
    await eventually(lambda: len(bot.fired()) >= 8, "reminders fire", PATIENCE)
    second.kill()
    await bot.works(third)
    await eventually(lambda: len(bot.fired()) == len(senders), "all fire", PATIENCE)
    for sender in senders:
        await eventually(lambda sender=sender: bot.service.texts(sender), "a reply", PATIENCE)
    # What is sent now runs behind every copy of a reminder that could still be there.
    for sender in senders:
        await bot.say(sender, [], id=f"last-{sender}")

    def answered() -> bool:
        return sum("last-" in data for _, kind, data in bot.rows() if kind == "user") >= 30

    await eventually(answered, "the last turns", PATIENCE)
    assert bot.fired() == dict.fromkeys(senders, 1), third.log
    assert all(bot.service.texts(sender)[0].startswith(FIRED) for sender in senders)


async def test_a_reminder_that_is_cancelled_replaced_or_outdated_does_not_fire(
    bot: Reminding,
) -> None:
    await bot.works(bot.start_worker())
    cancel = {"event": "cancel_reminder", "name": None, "intent": None, "entities": None}
    await bot.say("by-name", [reminder(4, "one"), reminder(4, "two")])
    await bot.say("by-name", [{**cancel, "name": "one"}])
    await bot.say("by-intent", [reminder(4), reminder(4, intent="goodbye")])
    await bot.say("by-intent", [{**cancel, "intent": "greet"}])
    await bot.say("all", [reminder(4), reminder(4)])
    await bot.say("all", [cancel])
    await bot.say("replaced", [reminder(3, "same")])
    await bot.say("replaced", [reminder(4, "same")])
    await bot.say("killed", [reminder(4, kill_on_user_msg=True)])
    await bot.say("killed", [])
    await bot.say("restarted", [reminder(4)])
    await bot.say("restarted", [{"event": "restart"}])
    await bot.say("kept", [reminder(5)])
    await eventually(lambda: bot.fired()["kept"], "the last one fires", PATIENCE)
    expected = {"by-name": 1, "by-intent": 1, "replaced": 1, "kept": 1}
    await eventually(lambda: bot.fired() == expected, f"{bot.fired()}", PATIENCE)
    log = bot.workers[0].log
    reasons = {"it was cancelled", "another one has replaced it", "the user has written"}
    assert all(f"reminder does not fire: {reason}" in log for reason in reasons), log
