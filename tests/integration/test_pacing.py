"""Rate limits with several `deliver` processes: a real broker, and a service that counts."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from aiohttp import web

from tests.support.broker import Broker
from tests.support.pacing import Stalls, most_in, put, replies, use
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.system import CHAOS, longer
from tests.support.waiting import eventually

PARTITIONS = 8
RATE, BURST = longer(60, 150), longer(6, 15)
"""The burst is the default one."""
REPLIES = longer(600, 10_000)
RECIPIENTS = [f"u{n}" for n in range(200)]
PREFETCH = "30"
"""Few, so that partitions move soon to a process that joins."""
USE = longer(0.5, 0.9)
"""Share of the limit that is used. `make chaos` runs alone; other tests take the CPU's time."""


def write(
    project: Project, service: FakeService, keys: str = "", channel: str = "callback"
) -> None:
    project.write("credentials.yml", f"{channel}:\n  url: {service.url}\n{keys}")
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", endpoints.replace("replies: 2", f"replies: {PARTITIONS}"))


async def start(project: Project, number: int = 3) -> list[Process]:
    """Start `deliver` processes that are ready to share a rate limit."""
    processes = await asyncio.gather(
        *(project.deliver("--prefetch", PREFETCH) for _ in range(number))
    )
    await asyncio.gather(*(process.prints("sharing the rate limit") for process in processes))
    return list(processes)


async def all_delivered(service: FakeService, number: int) -> None:
    """Wait until so many different replies are delivered: a killed process may repeat a call."""

    def delivered() -> bool:
        return len({(c.body["recipient_id"], c.body["text"]) for c in service.accepted}) >= number

    await eventually(delivered, f"{number} replies are delivered", patience=180)


def report(times: list[float], stalls: Stalls, rate: float = RATE) -> None:
    print(
        f"{most_in(times)} in a second, {use(times, rate):.3f} of the limit of {rate:g}/s,"
        f" longest stall {stalls.longest:.2f} s, all {stalls.total:.2f} s"
    )


def check(service: FakeService, each: int) -> list[float]:
    """Check order, and that nothing is missing; return the times of the calls."""
    for who in RECIPIENTS:
        numbers = [int(text) for text in service.texts(who)]
        assert list(dict.fromkeys(numbers)) == list(range(each)), who
    return sorted(call.at for call in service.calls)


async def test_processes_share_a_rate_limit_while_one_is_killed_and_one_joins(
    project: Project, service: FakeService
) -> None:
    write(project, service, f"  rate_limit: {RATE}\n")
    each = REPLIES // len(RECIPIENTS)
    await put(project, PARTITIONS, replies(RECIPIENTS, each))
    (pacer,) = await start(project, 1)
    await start(project, 2)
    async with Stalls() as stalls:
        await eventually(lambda: len(service.calls) > REPLIES * 0.3)
        pacer.kill()
        await eventually(lambda: len(service.calls) > REPLIES * 0.6)
        await start(project, 1)
        await all_delivered(service, REPLIES)
    times = check(service, each)
    report(times, stalls)
    assert most_in(times) <= RATE + BURST + RATE * stalls.slack
    assert use(times, RATE, stalls.total) >= USE


@pytest.mark.skipif(not CHAOS, reason="make chaos runs it")
@pytest.mark.parametrize("seconds", [0.3, 1.5, 10])
async def test_a_frozen_process_does_not_break_the_rate_limit(
    project: Project, service: FakeService, seconds: float
) -> None:
    write(project, service, f"  rate_limit: {RATE}\n")
    each = 20
    await put(project, PARTITIONS, replies(RECIPIENTS, each))
    processes = await start(project)
    async with Stalls() as stalls:
        for process in processes:
            before = len(service.calls)
            await eventually(lambda before=before: len(service.calls) > before + 200)
            process.freeze()
            await asyncio.sleep(seconds)
            process.thaw()
        await all_delivered(service, len(RECIPIENTS) * each)
    times = check(service, each)
    report(times, stalls)
    assert most_in(times) <= RATE + BURST + RATE * stalls.slack


@pytest.mark.skipif(not CHAOS, reason="make chaos runs it")
async def test_during_an_alarm_the_backlog_is_delivered_at_the_limit(
    project: Project, service: FakeService, own_broker: Broker
) -> None:
    project.broker_url = own_broker.url
    project.write(
        "endpoints.yml",
        f"bridge:\n  url: {own_broker.url}\n  namespace: {project.namespace}\n"
        "  partitions: {inbound: 4, replies: 2}\n",
    )
    write(project, service, f"  rate_limit: {RATE}\n")
    await put(project, PARTITIONS, replies(RECIPIENTS, 20))
    await start(project)
    async with Stalls() as stalls:
        await eventually(lambda: len(service.calls) > 500)
        await asyncio.to_thread(own_broker.raise_memory_alarm)
        await asyncio.sleep(10)
        during = [call.at for call in service.calls][-100:]
        await asyncio.to_thread(own_broker.end_memory_alarm)
        await all_delivered(service, 4000)
    times = check(service, 20)
    report(times, stalls)
    assert use(during, RATE) > 0.6
    assert most_in(times) <= RATE + BURST + RATE * stalls.slack


@pytest.mark.skipif(not CHAOS, reason="make chaos runs it")
@pytest.mark.parametrize(("rate", "number"), [(20, 1000), (0.5, 30)])
async def test_a_small_limit_without_a_burst_holds_while_processes_come_and_go(
    project: Project, service: FakeService, rate: float, number: int
) -> None:
    """One of three is killed, then one is frozen, then another one joins."""
    write(project, service, f"  rate_limit: {rate}\n  burst: 1\n")
    await put(project, PARTITIONS, replies(RECIPIENTS, number // 10)[:number])
    first, second, _ = await start(project)

    async def reaches(share: float) -> None:
        await eventually(lambda: len(service.calls) > number * share, patience=180)

    async with Stalls() as stalls:
        await reaches(0.2)
        first.kill()
        await reaches(0.4)
        second.freeze()
        await asyncio.sleep(5)
        second.thaw()
        await reaches(0.6)
        await start(project, 1)
        await all_delivered(service, number)
    times = sorted(call.at for call in service.calls)
    for seconds in (1, 3, 10):
        most = most_in(times, seconds)
        print(f"{rate:g}/s: {most} in {seconds} s, {use(times, rate):.2f} used")
        assert most <= rate * (seconds + stalls.slack) + 1, seconds


async def test_two_channels_have_a_limit_each(project: Project, service: FakeService) -> None:
    second = FakeService()
    await second.start()
    try:
        project.write(
            "credentials.yml",
            f"callback:\n  url: {service.url}\n  rate_limit: 60\n  burst: 6\n"
            f"webhook:\n  url: {second.url}\n  secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
            "  rate_limit: 20\n  burst: 5\n",
        )
        each = longer(1, 5)
        backlog = [*replies(RECIPIENTS, 2 * each), *replies(RECIPIENTS, each, "webhook")]
        await put(project, 2, backlog)
        processes = await asyncio.gather(*(project.deliver() for _ in range(2)))
        await asyncio.gather(*(it.prints("sharing the rate limit", 2) for it in processes))
        async with Stalls() as stalls:
            await eventually(lambda: len(service.accepted) >= 300 * each, patience=120)
            await eventually(lambda: len(second.accepted) >= 100 * each, patience=120)
    finally:
        await second.stop()
    for one, rate, burst in ((service, 60, 6), (second, 20, 5)):
        times = sorted(call.at for call in one.calls)
        report(times, stalls, rate)
        assert most_in(times) <= rate + burst + rate * stalls.slack
        assert use(times, rate, stalls.total) >= USE


async def test_while_a_limit_is_changed_the_one_of_the_pacer_holds(
    project: Project, service: FakeService
) -> None:
    """As in a rolling restart: two processes have read different values."""
    write(project, service, "  rate_limit: 20\n  burst: 2\n")
    await put(project, PARTITIONS, replies(RECIPIENTS, 2))
    (former,) = await start(project, 1)
    async with Stalls() as stalls:
        await eventually(lambda: len(service.calls) > 20)
        write(project, service, "  rate_limit: 60\n  burst: 6\n")
        await start(project, 1)
        await eventually(lambda: len(service.calls) > 100)
        times = [call.at for call in service.calls]
        assert most_in(times) <= 20 + 2 + 20 * stalls.slack
        former.terminate()
        await all_delivered(service, 2 * len(RECIPIENTS))
    times = sorted(call.at for call in service.calls)
    assert most_in(times) <= 60 + 6 + 60 * stalls.slack
    assert most_in(times) > 30, "the new limit applies"


async def test_a_recipient_with_many_replies_is_paced_and_delays_no_other(
    project: Project, service: FakeService
) -> None:
    """With the default limit of the channel `telegram`: one message per second and chat."""
    service.answer = lambda call: web.json_response({"ok": True, "result": {}})
    project.write(
        "credentials.yml", f"telegram:\n  access_token: '1:a'\n  api_url: {service.url}\n"
    )
    others = [f"{n}" for n in range(2, 300)]
    await put(project, 2, replies(["1"], 300, "telegram") + replies(others, 1, "telegram"))

    def times(chat: str) -> list[float]:
        return [call.at for call in service.calls if call.body["chat_id"] == chat]

    deliver = await project.deliver("--concurrency", "4")
    await eventually(lambda: len(times("1")) >= 6)
    assert all(len(times(chat)) == 1 for chat in others)
    last = max(times(chat)[0] for chat in others)
    assert len([at for at in times("1") if at < last]) <= 1 + (last - service.calls[0].at)
    assert min(b - a for a, b in pairwise(times("1"))) > 0.9
    texts = [call.body["text"] for call in service.calls if call.body["chat_id"] == "1"]
    assert texts == [str(n) for n in range(len(texts))]
    deliver.terminate()
    assert await deliver.ends() == 0
