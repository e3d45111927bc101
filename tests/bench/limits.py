"""Counts the calls that a rate limit lets through, while `deliver` processes come and go.

    python -m tests.bench.limits [--bursts 1 5 0] [--rates 1 5 20 100] [--seconds 60]

Starts a private broker and three `deliver` processes. Each limit has a channel, with more replies
than can be sent. A burst of 0 stands for the default. One process is killed, a new one joins, one
is frozen for five seconds, and the broker has an alarm for five. Prints for each limit how many
calls the service had in its busiest second, when that was, and the share of the limit that was used
in quiet phases. Asserts nothing: the service shares the machine, so a call may count later than it
was sent. The service has a higher priority, if the system permits it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.broker import make_broker
from tests.support.pacing import Stalls, most_in, put, replies
from tests.support.processes import Project
from tests.support.service import FakeService

RECIPIENTS = [f"u{n}" for n in range(40)]
PARTITIONS = 8
PREFETCH = "60"
PHASE = 5.0
"""Seconds of a freeze, of an alarm, and of what is left out behind each event."""


@contextmanager
def privileged() -> Iterator[None]:
    """Prefer this process inside the block, but no process that it starts."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)


def busiest(times: list[float]) -> float:
    """Return when the busiest second began."""
    counts = [bisect_left(times, at + 1) - n for n, at in enumerate(times)]
    return times[counts.index(max(counts))] if times else 0.0


async def measure(rates: list[float], bursts: list[int], seconds: float) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", endpoints.replace("replies: 2", f"replies: {PARTITIONS}"))
    limits = {f"r{rate:g}b{burst}": (rate, burst) for rate in rates for burst in bursts}
    project.write(
        "credentials.yml",
        "".join(
            f"{name}:\n  channel: callback\n  url: {service.url.rstrip('/')}/{name}\n"
            f"  rate_limit: {rate:g}\n" + (f"  burst: {burst}\n" if burst else "")
            for name, (rate, burst) in limits.items()
        ),
    )
    began = 0.0
    events: list[tuple[float, str]] = []

    async def event(name: str, act: Callable[[], object]) -> None:
        await asyncio.sleep(seconds / 6)
        events.append((time.monotonic(), name))
        await asyncio.to_thread(act)

    try:
        for name, (rate, _) in limits.items():
            each = round(rate * seconds * 1.2 / len(RECIPIENTS)) + 2
            await put(project, PARTITIONS, replies(RECIPIENTS, each, name))
        processes = [await project.deliver("--prefetch", PREFETCH) for _ in range(3)]
        for process in processes:
            await process.prints("sharing the rate limit", len(limits))
        began = time.monotonic()
        async with Stalls() as stalls:
            with privileged():
                await event("kill", processes[0].kill)
            joining = asyncio.ensure_future(project.deliver("--prefetch", PREFETCH))
            with privileged():
                await event("freeze", processes[1].freeze)
                await asyncio.sleep(PHASE)
                await event("thaw", processes[1].thaw)
                await joining
                await event("alarm", broker.raise_memory_alarm)
                await asyncio.sleep(PHASE)
                await event("its end", broker.end_memory_alarm)
                await asyncio.sleep(seconds / 6)
        ended = time.monotonic()
    finally:
        project.close()
        await service.stop()
        broker.close()
    print(f"the service stood still for {stalls.longest + stalls.ABSORBED:.2f} s at most")
    quiet = [began, *(at + PHASE for at, name in events)]
    until = [*(at for at, _ in events), ended]
    for name, (rate, burst) in limits.items():
        times = sorted(call.at for call in service.calls if call.path == f"/{name}")
        at = busiest(times)
        before = [event for when, event in events if when <= at]
        used = [
            sum(since <= when < end for when in times) / (end - since) / rate
            for since, end in zip(quiet, until, strict=True)
            if end - since > 2
        ]
        print(
            f"{rate:5g}/s, burst {burst or 'by default':<10}  {most_in(times):4} calls in a second"
            f" at {at - began:5.1f} s ({before[-1] if before else 'start'})"
            f"  used {' '.join(f'{share:.2f}' for share in used)}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", type=float, nargs="*", default=[1, 5, 20, 100])
    parser.add_argument("--bursts", type=int, nargs="*", default=[1, 5, 0])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    asyncio.run(measure(options.rates, options.bursts, options.seconds))
