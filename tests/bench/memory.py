"""Measures the memory of held messages; and functions that read it (Linux, /proc).

    python -m tests.bench.memory [--held 10000] [--text 20 2000]

A worker and a `deliver` process hold messages, each of another conversation, whose turns and calls
do not end. Then all of them end. Prints the memory before, meanwhile and after, and what a held
message takes. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from aiohttp import web

from bridge.broker.back import put_back
from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.messages import encode
from tests.support.broker import Broker, ScriptBroker, make_broker
from tests.support.fakes import a_reply, an_inbound
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

PARTITIONS = 8
AT_ONCE = 200
WARM_UP = 1000
HANDLER = """
import asyncio, pathlib


async def handle(message, output):
    while not pathlib.Path("go").exists():
        await asyncio.sleep(1)
    with open("done", "a") as done:
        print(file=done)
"""


def rss(process: Process) -> float:
    """Return the resident memory in MB (10**6 bytes)."""
    return _rss(process.popen.pid)


def broker_rss(broker: Broker) -> float:
    """Return the resident memory of a broker in MB; NaN if it is a container."""
    if not isinstance(broker, ScriptBroker):
        return float("nan")
    return _rss(int((broker.data / "pid").read_text()))


def _rss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no VmRSS")


class Bench:
    """A worker and a `deliver` process that hold what they are told to hold."""

    def __init__(self, broker: Broker, service: FakeService) -> None:
        self._broker, self._service = broker, service
        self._project = Project(Path(tempfile.mkdtemp()), broker.url, "memory")
        self._topology = Topology("memory", PARTITIONS, PARTITIONS, ("callback",))
        self._done = self._project.write("done", "")
        self._go = asyncio.Event()
        self._number = 0
        self.processes: dict[str, Process] = {}
        service.answer = self._answer

    async def _answer(self, call: Call) -> web.Response:
        await self._go.wait()
        return web.json_response({})

    async def start(self, held: int) -> None:
        self._project.write(
            "endpoints.yml",
            f"bridge:\n  url: {self._broker.url}\n  namespace: memory\n"
            f"  partitions: {{inbound: {PARTITIONS}, replies: {PARTITIONS}}}\n",
        )
        self._project.write("credentials.yml", f"callback:\n  url: {self._service.url}\n")
        self._project.write("handler.py", HANDLER)
        prefetch = ("--prefetch", str(min(2000, 2 * held // PARTITIONS)))
        handler = ("--handler", "handler:handle")
        self.processes = {
            "worker": self._project.bridge("worker", *handler, *prefetch, fork=False),
            "deliver": self._project.bridge("deliver", *prefetch, fork=False),
        }
        for process in self.processes.values():
            await process.prints("consuming")

    async def hold(self, held: int, text: int) -> dict[str, float]:
        """Have messages held, and let them go; return process → MB while they are held."""
        self._project.directory.joinpath("go").unlink(missing_ok=True)
        self._go.clear()
        async with connect(self._broker.url, "memory") as connection:
            channel = await connection.confirm_channel()
            for start in range(0, held, AT_ONCE):
                puts = []
                for n in range(self._number + start, self._number + start + AT_ONCE):
                    who, what = f"s{n}", "x" * text
                    inbound = an_inbound(f"m{n}", sender_id=who, text=what)
                    reply = a_reply(f"m{n}:0", channel="callback", recipient_id=who, text=what)
                    for message in (inbound, reply):
                        puts.append(put_back(channel, self._topology, message, encode(message)))
                await asyncio.gather(*puts)
            self._number += held
            names = [queue.name for flow in self._topology.flows() for queue in flow]

            async def all_held() -> bool:
                depths = await connection.depths(names)
                return not any(depth.ready for depth in depths.values())

            await eventually(all_held, patience=120)
        await asyncio.sleep(2)  # what was received is read
        sizes = self.sizes()
        self._project.write("go", "")
        self._go.set()
        await eventually(lambda: self._ended() >= self._number, patience=300)
        return sizes

    def _ended(self) -> int:
        """Return how many turns and how many calls have ended, whichever are fewer."""
        return min(self._done.read_bytes().count(b"\n"), len(self._service.accepted))

    def sizes(self) -> dict[str, float]:
        return {name: rss(process) for name, process in self.processes.items()}

    def close(self) -> None:
        self._project.close()


async def measure(held: int, texts: list[int]) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    bench = Bench(broker, service)
    try:
        await bench.start(held)
        await bench.hold(WARM_UP, texts[0])
        for text in texts:
            before = bench.sizes()
            during = await bench.hold(held, text)
            await asyncio.sleep(2)
            after = bench.sizes()
            for name, size in during.items():
                each = (size - before[name]) * 1e3 / held
                print(
                    f"{name}, {held} held, text of {text} bytes: {before[name]:.0f} → {size:.0f}"
                    f" → {after[name]:.0f} MB, {each:.1f} KB a message",
                    flush=True,
                )
    finally:
        bench.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--held", type=int, default=10_000)
    parser.add_argument("--text", type=int, nargs="*", default=[20, 20, 2000, 2000])
    options = parser.parse_args()
    asyncio.run(measure(options.held, options.text))
