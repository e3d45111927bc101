"""Measures the latency for healthy recipients while a tenth of them fails. Asserts the ledger.

    python -m tests.bench.recipients [--recipients 500] [--rate 200] [--seconds 30] [--quiet 429]

Starts a private broker, one webhook, one worker with an echo handler and one deliver. Sends a
steady load. Then a tenth of the recipients stall until the call times out, answer 500, or answer
429 with Retry-After. Prints the time from sending a message until the service has its reply, for
healthy recipients, before and during the trouble; then the ledger. Compare figures within one run
only.

With `--quiet 429` (or 500, or stall), the trouble comes first: the channel was quiet until then,
and the failing recipients are the first to have a reply.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.memory import rss
from tests.support.broker import free_port, make_broker
from tests.support.ledger import Entry
from tests.support.load import HANDLER, Load, entry
from tests.support.processes import Project
from tests.support.service import FakeService, Trouble, troubled

WARM_UP = 10.0
PARTITIONS = "  partitions: {inbound: 4, replies: 2}\n"


def percentiles(times: list[float]) -> tuple[float, float, float]:
    """Return p50, p99 and the maximum in milliseconds."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1000, cuts[98] * 1000, max(times) * 1000


def healthy_times(
    load: Load, service: FakeService, failing: set[str], since: float, until: float
) -> list[float]:
    """Return the seconds until reply for messages of healthy recipients sent in that period."""
    accepted: dict[Entry, float] = {}
    for call in service.accepted:
        accepted.setdefault(entry(call.body["text"]), call.at)
    now = time.monotonic()
    return [
        accepted.get(message, now) - began
        for message, began in load.began.items()
        if since <= began < until and message.conversation not in failing
    ]


async def measure(
    recipients: int, rate: float, seconds: float, quiet: str | None, arguments: list[str]
) -> None:
    broker = make_broker()
    service = FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("handler.py", HANDLER)
        # The default partitions, not the few that quick tests use.
        endpoints = (project.directory / "endpoints.yml").read_text()
        project.write("endpoints.yml", endpoints.replace(PARTITIONS, ""))
        port = free_port()
        load = Load(project, service, [port])
        _, _, deliver = await asyncio.gather(
            project.webhook(port),
            project.worker("--handler", "handler:handle"),
            project.deliver(*arguments),
        )
        failing = [f"c{n}" for n in range(0, recipients, 10)]
        if quiet:
            failing = [f"c{n}" for n in range(recipients // 10)]
        trouble = Trouble(dict.fromkeys(failing, quiet) if quiet else troubled(failing))
        async with load.running(recipients, rate):
            periods = {}
            for name in ("trouble", "undisturbed") if quiet else ("undisturbed", "trouble"):
                if name == "undisturbed":
                    await asyncio.sleep(max(WARM_UP, recipients / rate))
                    before = rss(deliver)
                else:
                    service.answer = trouble.answer
                began = time.monotonic()
                await asyncio.sleep(seconds)
                periods[name] = began, time.monotonic()
                if name == "trouble":
                    during = rss(deliver)
                    lacking = len(load.began) - len(service.accepted)
                    trouble.end()
        ledger = await load.settled(patience=180)
        undisturbed = healthy_times(load, service, set(failing), *periods["undisturbed"])
        disturbed = healthy_times(load, service, set(failing), *periods["trouble"])
        print(f"{recipients} recipients, {len(failing)} of them failing; {rate:g} messages/s")
        for name, times in (("undisturbed", undisturbed), ("during the trouble", disturbed)):
            p50, p99, most = percentiles(times)
            print(f"{name:18}  p50 {p50:.1f} ms  p99 {p99:.1f} ms  max {most:.1f} ms")
        ratio = percentiles(disturbed)[1] / percentiles(undisturbed)[1]
        print(f"p99 of healthy recipients, during the trouble / undisturbed: {ratio:.2f}")
        print(f"replies held when it ended: {lacking}; deliver {before:.0f} → {during:.0f} MB")
        print(f"times the whole channel paused: {deliver.log.count('circuit breaker open')}")
        print(ledger.table())
        ledger.check()
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipients", type=int, default=500)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--quiet", choices=("429", "500", "stall"))
    options, rest = parser.parse_known_args()
    asyncio.run(measure(options.recipients, options.rate, options.seconds, options.quiet, rest))
