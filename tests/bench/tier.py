"""Measures the load of a WhatsApp number of the highest tier, at a share that the machine can take.

    python -m tests.bench.tier [--percent 5 10 20] [--seconds 20]

At full rate, 1,000 messages a second come in and 1,000 replies go out, and each reply has three
statuses, in a request each: 3,000 signed requests more. One process of each role takes a share of
that, with a worker that answers each message, and receipts that are joined to the replies. Prints
the CPU time in cores, what follows from it for the full rate (calculated), how long requests take
to be acknowledged, and what was lost. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from bridge.broker.connection import connect
from bridge.messages import Delivery
from tests.bench import cpu
from tests.bench.peers.bare_statuses import PATH
from tests.bench.receipts import CREDENTIALS, NUMBER, SECRET, Clients, posted, status
from tests.support.broker import Broker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

FULL = 1000
"""Messages, and replies, per second."""
OUTCOMES = ("sent", "delivered", "read")
AFTER = (0.2, 0.5, 1.0)
"""Seconds from a reply to each of its statuses."""
SENDERS = 5000
WARM_UP = 3.0
IDLE = 10.0
"""Seconds without a load, first: what a process takes then does not grow with the load."""


class Number:
    """The users of one number, and the service that stands between them and the bridge."""

    def __init__(self, service: FakeService, url: str, http: aiohttp.ClientSession) -> None:
        self._clients = Clients(url, http)
        self._ids = itertools.count()
        self._busy: set[asyncio.Task[None]] = set()
        self._took: dict[str, list[float]] = {"messages": [], "statuses": []}
        self.sent: set[str] = set()
        """The texts of the messages,"""
        self.replied: set[str] = set()
        """and of the replies."""
        self.told: set[tuple[str, str]] = set()
        """The id of the sent message, and the outcome, of each joined receipt."""
        self.due = 0
        """Statuses that were acknowledged."""
        service.answer = self._answer

    def _answer(self, call: Call) -> web.Response:
        if "to" not in call.body:  # an indicator
            return web.json_response({"success": True})
        self.replied.add(call.body["text"]["body"])
        id = f"wamid.{next(self._ids)}"
        loop = asyncio.get_running_loop()
        for outcome, after in zip(OUTCOMES, AFTER, strict=True):
            loop.call_later(after, self._start, self._status, id, outcome)
        return web.json_response({"messages": [{"id": id}]})

    def _start(self, post: Callable[..., Awaitable[None]], *arguments: str) -> None:
        task = asyncio.ensure_future(post(*arguments))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _post(self, what: str, body: bytes) -> None:
        began = time.perf_counter()
        await self._clients.post(body)
        self._took[what].append((time.perf_counter() - began) * 1000)

    async def _status(self, id: str, outcome: str) -> None:
        await self._post("statuses", posted(statuses=[status(id, outcome)]))
        self.due += 1

    async def _message(self, text: str) -> None:
        who = f"49{int(text) % SENDERS:09}"
        message = {"id": f"wamid.in{text}", "from": who, "type": "text", "text": {"body": text}}
        await self._post("messages", posted(messages=[message]))
        self.sent.add(text)

    async def write(self, rate: float, seconds: float) -> None:
        """Have users write at a rate, whatever the answers do."""
        began = time.monotonic()
        for n in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + n / rate - time.monotonic()))
            self._start(self._message, str(next(self._ids)))

    async def settled(self) -> None:
        """Wait until everything has arrived."""
        await eventually(
            lambda: (
                not self._busy
                and self.replied >= self.sent
                and self.due >= 3 * len(self.replied)
                and len(self.told) >= self.due
            ),
            patience=120,
        )

    def latencies(self) -> str:
        """Return the percentiles of the acknowledgements so far, and forget them."""
        columns = []
        for what, values in self._took.items():
            cuts = statistics.quantiles(values, n=100)
            columns.append(f"{what} p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f} ms")
            values.clear()
        return "; ".join(columns)


async def start(project: Project, service: FakeService, port: int) -> dict[str, Process]:
    keys = {"number": NUMBER, "secret": SECRET, "url": service.url, "on": "true"}
    project.write("credentials.yml", CREDENTIALS.format(**keys))
    project.write("echo.py", ECHO)
    command = [sys.executable, "-m", "bridge"]
    options = {
        "webhook": ("-i", "127.0.0.1", "-p", str(port)),
        "worker": ("--handler", "echo:handle"),
        "deliver": (),
    }
    processes = {
        role: project.start(role, [*command, role, *more]) for role, more in options.items()
    }
    await processes["webhook"].prints("listening on")
    await processes["worker"].prints("consuming")
    await processes["deliver"].prints("joining receipts")
    return processes


async def cores(
    processes: dict[str, Process], broker: Broker, seconds: float, load: Awaitable[None]
) -> dict[str, float]:
    """Return process → CPU time that a load takes, in cores if it were spread over `seconds`."""
    before = cpu.used(processes, broker)
    await load
    after = cpu.used(processes, broker)
    used = {name: (after[name] - before[name]) / seconds for name in before}
    return {**used, "bridge": sum(value for name, value in used.items() if name != "broker")}


async def play(
    number: Number,
    processes: dict[str, Process],
    broker: Broker,
    idle: dict[str, float],
    percent: float,
    seconds: float,
) -> None:
    share = percent / 100
    await number.write(FULL * share, WARM_UP)
    await number.settled()
    number.latencies()

    async def load() -> None:
        await number.write(FULL * share, seconds)
        await number.settled()

    used = await cores(processes, broker, seconds, load())
    full = {name: idle[name] + (value - idle[name]) / share for name, value in used.items()}
    print(f"{percent:g} %: cores {shown(used)}")
    print(f"  calculated for 100 %: {shown(full)}")
    print(f"  acknowledged: {number.latencies()}")
    lost = len(number.sent - number.replied), number.due - len(number.told)
    print(
        f"  so far {len(number.sent)} messages, {len(number.replied)} replies, {number.due}"
        f" statuses; lost: {lost[0]} messages or replies, {lost[1]} statuses",
        flush=True,
    )


def shown(used: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in used.items())


async def measure(percents: list[float], seconds: float) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "tier")
    project.write("endpoints.yml", f"bridge:\n  url: {broker.url}\n  namespace: tier\n")
    port = free_port()
    try:
        processes = await start(project, service, port)
        connections = aiohttp.TCPConnector(limit=100)
        async with (
            connect(broker.url, "crm") as connection,
            aiohttp.ClientSession(connector=connections) as http,
        ):
            number = Number(service, f"http://127.0.0.1:{port}{PATH}", http)

            def read(delivery: Delivery) -> None:
                report = json.loads(delivery.body)
                for receipt in report["receipts"]:
                    if receipt["reply_id"] is not None:
                        number.told.add((receipt["provider_id"], report["outcome"]))

            channel = await connection.consumer_channel(prefetch=0)
            for outcome in OUTCOMES:
                await channel.consume_private(read, "tier.receipts", f"whatsapp.{outcome}")
            idle = await cores(processes, broker, IDLE, asyncio.sleep(IDLE))
            print(f"idle: cores {shown(idle)}", flush=True)
            for percent in percents:
                await play(number, processes, broker, idle, percent, seconds)
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--percent", type=float, nargs="*", default=[5, 10, 20])
    parser.add_argument("--seconds", type=float, default=20, help="of each share")
    options = parser.parse_args()
    asyncio.run(measure(options.percent, options.seconds))
