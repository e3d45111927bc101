"""Plays an incident, and prints what `status` and the page say beside the truth. Asserts nothing.

    python -m tests.bench.rehearsal [--into build/rehearsal]

Starts a private broker, a webhook, two workers, `deliver` and the monitor, and sends messages. Then
it kills a worker, stops `deliver`, breaks the service, fills the dead letters, blocks a worker,
raises an alarm, restarts the broker, changes its password, and resizes. After each step it prints
the truth, as the sender and the service know it, what `status` and the page say, and takes pictures
of the page: desktop and phone, light and dark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from tests.support.broker import Broker, free_port, make_broker
from tests.support.browser import Page, browsing
from tests.support.cli import run_bridge
from tests.support.dead_letters import Dead, talk
from tests.support.ledger import Entry
from tests.support.load import HANDLER, Load
from tests.support.processes import Process, Project
from tests.support.service import FakeService

LETTERS = 500
REPORTED = 8.0
"""Seconds from a step until the figures are read: an operator looks no earlier."""
VIEWS = (
    ("desktop", 1280, "light"),
    ("desktop-dark", 1280, "dark"),
    ("phone", 390, "light"),
    ("phone-dark", 390, "dark"),
)
HEALTH = "document.getElementById('health').innerText"
ROWS = "[...document.querySelectorAll('#queues tbody tr')].map(r => r.innerText).join('\\n')"
BLOCKING = "blocking"
TURN = "async def handle(message, output):\n"
BLOCK = f"    if message.sender_id == '{BLOCKING}':\n        time.sleep(15)\n"
BLOCKS = "import time\n"
Step = Callable[[], Awaitable[object]]


class Incident:
    """The system, and the steps of the incident."""

    def __init__(self, broker: Broker, service: FakeService, page: Page, into: Path) -> None:
        self.broker, self.service, self.page, self.into = broker, service, page, into
        self.project = Project(Path(tempfile.mkdtemp()), broker.url, "bridge")
        self.project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        self.project.write("handler.py", BLOCKS + HANDLER.replace(TURN, f"{TURN}{BLOCK}"))
        self.port, self.monitor_port = free_port(), free_port()
        self.load = Load(self.project, service, [self.port])
        self.workers: list[Process] = []
        self.webhook: Process | None = None
        self.deliver: Process | None = None
        self.monitor: Process | None = None
        self.resize: Process | None = None
        self.letters = 0

    async def start(self) -> None:
        await self._start()
        await self.page.size(1280, 900)
        await self.page.open(f"http://127.0.0.1:{self.monitor_port}/")

    async def _start(self) -> None:
        self.monitor = self.project.bridge("monitor", "-p", str(self.monitor_port))
        await self.monitor.prints(f"on http://127.0.0.1:{self.monitor_port}/")
        self.webhook, self.deliver, *self.workers = await asyncio.gather(
            self.project.webhook(self.port), self.project.deliver(), self._worker(), self._worker()
        )

    async def _worker(self) -> Process:
        return await self.project.worker("--handler", "handler:handle")

    def steps(self) -> dict[str, Step]:
        assert self.deliver is not None
        return {
            "calm": self.nothing,
            "a worker is killed": lambda: asyncio.to_thread(self.workers[0].kill),
            "deliver is stopped (SIGSTOP)": lambda: asyncio.to_thread(self.deliver.freeze),  # type: ignore[union-attr]
            "deliver goes on, the service answers 500": self.break_service,
            f"the service is back, {LETTERS} dead letters": self.fill,
            "the broker is stopped": lambda: asyncio.to_thread(self.broker.stop),
            "the broker is started": lambda: asyncio.to_thread(self.broker.start),
            "all deliver processes are killed": lambda: asyncio.to_thread(self.deliver.kill),  # type: ignore[union-attr]
            "deliver is back, a turn blocks its worker for 15 s": self.block,
            "the broker has a memory alarm": lambda: asyncio.to_thread(
                self.broker.raise_memory_alarm
            ),
            "the alarm is over, the password is another one": self.change_password,
            "the password is back": lambda: asyncio.to_thread(self.broker.set_password, "guest"),
            "a resize waits for the workers": self.begin_resize,
            "the workers are stopped, the resize ends": self.end_resize,
            "all run with the new number": self.restart,
        }

    async def nothing(self) -> None:
        """Change nothing."""

    async def break_service(self) -> None:
        assert self.deliver is not None
        self.service.answer = lambda _: web.json_response({}, status=500)
        self.deliver.thaw()

    async def fill(self) -> None:
        self.service.answer = lambda _: web.json_response({})
        topology = Topology("bridge", 4, 2, ["callback"])
        async with connect(self.broker.url, "rehearsal") as connection:
            dead = Dead(self.project, topology, await connection.confirm_channel())
            await dead.put_all(talk(50, LETTERS // 50))
        self.letters = LETTERS

    async def block(self) -> None:
        self.deliver = await self.project.deliver()
        await self.load.send(Entry(BLOCKING, 0))

    async def change_password(self) -> None:
        self.broker.end_memory_alarm()
        await asyncio.to_thread(self.broker.set_password, "another")

    async def begin_resize(self) -> None:
        self.resize = self.project.bridge("topology", "resize", "--inbound", "8")
        await self.resize.prints("stop every worker")

    async def end_resize(self) -> None:
        assert self.resize is not None
        await self._end(*self.workers)
        await self.resize.ends()

    async def restart(self) -> None:
        await self._end(self.deliver, self.webhook, self.monitor)
        settings = (self.project.directory / "endpoints.yml").read_text()
        self.project.write("endpoints.yml", settings.replace("inbound: 4", "inbound: 8"))
        await self._start()

    async def _end(self, *processes: Process | None) -> None:
        for process in processes:
            if process is not None and process.popen.poll() is None:
                process.terminate()
                await process.ends()

    def truth(self) -> tuple[int, int, int]:
        """Return the messages without a turn, the replies without a call, and the dead letters."""
        ledger = self.load.read()
        turns, delivered = {*ledger.run}, {*ledger.delivered}
        acknowledged = {*ledger.acknowledged}
        return len(acknowledged - turns), len(turns - delivered), self.letters

    async def look(self, name: str) -> None:
        before = self.truth()
        ran = await asyncio.to_thread(run_bridge, self.project.directory, "status", "--json")
        print(f"\n== {name}\ntruth (inbound, replies, dead): {before} before, {self.truth()} after")
        print(f"status (exit code {ran.returncode}): {figures(ran.stdout)}")
        print("".join(f"  ! {line}\n" for line in ran.stderr.splitlines()), end="")
        print("page:", str(await self.page.run(HEALTH)).replace("\n", "\n  "))
        print("  " + str(await self.page.run(ROWS)).replace("\t", " ").replace("\n", "\n  "))
        for view, width, scheme in VIEWS:
            await self.page.size(width, 900)
            await self.page.scheme(scheme)
            await asyncio.sleep(0.5)
            file = self.into / f"{name.split(',')[0].replace(' ', '-')}-{view}.png"
            file.write_bytes(await self.page.picture())
        await self.page.size(1280, 900)
        await self.page.scheme("light")

    async def trace(self) -> None:
        last = self.load.ledger.acknowledged[-1]
        id, began = f"{last.conversation}/{last.number}", time.monotonic()
        ran = await asyncio.to_thread(run_bridge, self.project.directory, "trace", id)
        print(f"\ntrace {id}: {time.monotonic() - began:.1f} s\n{ran.stdout}{ran.stderr}")

    async def events(self) -> None:
        url = f"http://127.0.0.1:{self.monitor_port}"
        arguments = ("status", "--events", "--monitor-url", url)
        ran = await asyncio.to_thread(run_bridge, self.project.directory, *arguments)
        print(f"events:\n{ran.stdout}{ran.stderr}")


def figures(snapshot: str) -> str:
    """Return the depth and the oldest age of each flow, as `status` knows them."""
    if not snapshot:
        return "no figures"
    found: dict[str, Any] = json.loads(snapshot)
    parts = []
    for flow in found["flows"]:
        least = "≥ " if flow["depth_at_least"] else ""
        depth = flow["ready"] + (flow["unacked"] or 0)
        parts.append(f"{flow['flow']} {least}{depth}, oldest {flow['oldest_age']}")
    return f"{'; '.join(parts)}; dead {found['dead']}"


async def play(into: Path) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    async with browsing() as page:
        incident = Incident(broker, service, page, into)
        try:
            await incident.start()
            async with incident.load.running(conversations=20, rate=10):
                for name, step in incident.steps().items():
                    await step()
                    await asyncio.sleep(REPORTED)
                    await incident.look(name)
            await incident.trace()
            await incident.events()
        finally:
            incident.project.close()
            await service.stop()
            broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--into", type=Path, default=Path("build/rehearsal"))
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    asyncio.run(play(options.into))
