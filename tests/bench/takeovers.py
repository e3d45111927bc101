"""Measures how soon other processes go on with the partitions of one that ends.

    python -m tests.bench.takeovers [--rounds 5] [--freezes 2] [--partitions 8 32 128]

For each number of partitions, two workers and two `deliver` processes share a flow each. Every
partition has a message in work, for half a second, and one that waits. One process of each
pair is killed (SIGKILL), drained (SIGTERM), frozen (SIGSTOP), and joins again; then the broker is
killed and started. Prints the seconds until the first and until the last of its partitions runs a
message elsewhere: medians of the rounds, and their spread. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from bridge.broker.back import put_back
from bridge.broker.confirms import ConfirmChannel
from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.errors import BrokerError
from bridge.messages import InboundMessage, Reply, encode
from tests.support.broker import Broker, make_broker
from tests.support.fakes import a_reply, an_inbound
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

WORK = 0.5
"""Seconds of a turn, and of a call."""
OUTSTANDING = 2
"""Messages of each partition that run or wait."""
STILL = 2.0
"""Seconds without a change of hands after which the partitions are shared."""
JOINED = 3.0
"""Seconds after which a process that joins has got its share."""
HANDLER = f"""
import asyncio, os, time

LOG = os.open("turns.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
NAME = os.environ["NAME"]


async def handle(message, output):
    os.write(LOG, f"{{time.monotonic()}} {{NAME}} {{message.text}}\\n".encode())
    await asyncio.sleep({WORK})
"""
_numbers = itertools.count()


class Began(NamedTuple):
    """A message that a process has begun to work on."""

    at: float
    """Monotonic clock."""
    process: str
    partition: int


class Flow:
    """The partitions of one flow, and the two processes that share them."""

    def __init__(self, project: Project, partitions: int, role: str, put: asyncio.Queue[Put]):
        self.project = project
        self.partitions = partitions
        self.role = role
        self.topology = Topology(project.namespace, partitions, partitions, ("callback",))
        self.processes: dict[str, Process] = {}
        self.latest: dict[int, Began] = {}
        """Partition → what has begun there last."""
        self.changed_at = 0.0
        """When a partition changed hands last."""
        self.started_at = 0.0
        """When the process that joined last was seen to consume."""
        self.taken: dict[int, float] = {}
        """Partition → when the process `b` that runs now began to work there."""
        self._put = put
        self._senders = self._one_of_each_partition()

    def _one_of_each_partition(self) -> list[str]:
        found: dict[str, str] = {}
        for n in itertools.count():
            found.setdefault(self.topology.inbound_key(f"s{n}"), f"s{n}")
            if len(found) == self.partitions:
                return [found[key] for key in sorted(found)]
        raise AssertionError("unreachable: there is a sender for each partition")

    def add(self, partition: int) -> None:
        """Put one message on a partition."""
        sender, number = self._senders[partition], next(_numbers)
        message: InboundMessage | Reply
        if self.role == "worker":
            message = an_inbound(f"m{number}", sender_id=sender, text=str(partition))
        else:
            text = str(partition)
            message = a_reply(f"m{number}:0", channel="callback", recipient_id=sender, text=text)
        self._put.put_nowait(Put(self.topology, message))

    def began(self, began: Began) -> None:
        before = self.latest.get(began.partition)
        self.latest[began.partition] = began
        if before is None or before.process != began.process:
            self.changed_at = time.monotonic()
        if began.process == "b":
            self.taken.setdefault(began.partition, began.at)
        self.add(began.partition)

    async def start(self, name: str) -> float:
        """Start the process of that name; return when it was seen to consume."""
        if self.role == "worker":
            options = ["--handler", "handler:handle", "--concurrency", "256"]
        else:
            options = ["--credentials", f"{name}.yml"]
        process = self.project.bridge(self.role, *options, env={"NAME": name}, fork=False)
        self.processes[name] = process
        self.taken.clear()
        await process.prints("consuming")
        self.started_at = time.monotonic()
        return self.started_at

    @asynccontextmanager
    async def reconnecting(self, *names: str) -> AsyncIterator[None]:
        """Wait, after the block, until these processes consume again."""
        before = {name: self.processes[name].log.count("consuming") for name in names}
        yield
        for name, count in before.items():
            await self.processes[name].prints("consuming", count + 1, patience=120)
        self.started_at = time.monotonic()

    def of(self, process: str) -> list[int]:
        return [n for n, began in self.latest.items() if began.process == process]

    async def shared(self) -> None:
        """Wait until the partitions do not change hands any more."""
        await eventually(
            lambda: (
                len(self.latest) == self.partitions
                and time.monotonic() - self.changed_at > STILL
                and time.monotonic() - self.started_at > JOINED
                and min(began.at for began in self.latest.values()) > time.monotonic() - 4 * WORK
            ),
            patience=120,
        )

    async def moved(self, partitions: list[int], since: float, by: str = "") -> list[float]:
        """Wait until each partition has begun a message, by that process; return seconds each."""
        took: dict[int, float] = {}

        def all_began() -> bool:
            for n in partitions:
                began = self.latest[n]
                if n not in took and began.at > since and began.process.startswith(by):
                    took[n] = began.at - since
            return len(took) == len(partitions)

        try:
            await eventually(all_began, patience=120)
        except AssertionError:
            missing = [self.latest[n] for n in partitions if n not in took]
            raise AssertionError(f"{self.role}, {self.partitions} partitions: {missing}") from None
        return list(took.values())


class Put(NamedTuple):
    topology: Topology
    message: InboundMessage | Reply


class World:
    """One broker, the flows on it, and what keeps them busy."""

    def __init__(self, broker: Broker, service: FakeService, partitions: list[int]) -> None:
        self.broker, self.service = broker, service
        self._put: asyncio.Queue[Put] = asyncio.Queue()
        self.flows: list[Flow] = []
        self._read = 0
        self._by_path: dict[str, tuple[Flow, str]] = {}
        self.found: dict[tuple[str, str, int], list[list[float]]] = {}
        """Event, role and partitions → the seconds of each round."""
        for number in partitions:
            project = Project(Path(tempfile.mkdtemp()), broker.url, f"p{number}")
            project.write("handler.py", HANDLER)
            project.write(
                "endpoints.yml",
                f"bridge:\n  url: {broker.url}\n  namespace: {project.namespace}\n"
                f"  partitions: {{inbound: {number}, replies: {number}}}\n",
            )
            for role in ("worker", "deliver"):
                flow = Flow(project, number, role, self._put)
                self.flows.append(flow)
            for name in "ab":
                path = f"/{number}/{name}"
                self._by_path[path] = flow, name
                text = f"callback:\n  url: {service.url.rstrip('/')}{path}\n"
                project.write(f"{name}.yml", text)
            project.write("credentials.yml", text)
        service.answer = self._answer

    async def _answer(self, call: Call) -> web.Response:
        flow, name = self._by_path[call.path]
        flow.began(Began(call.at, name, int(call.body["text"])))
        await asyncio.sleep(WORK)
        return web.json_response({})

    async def read_turns(self) -> None:
        """Pass on the lines of the workers."""
        logs = []
        for flow in self.flows[::2]:
            path = flow.project.directory / "turns.log"
            path.touch()
            logs.append((flow, path.open()))
        while True:
            for flow, log in logs:
                for line in log:
                    at, name, text = line.split()
                    flow.began(Began(float(at), name, int(text)))
            await asyncio.sleep(0.01)

    async def publish(self) -> None:
        """Publish what was put, over one connection after another."""
        while True:
            with suppress(BrokerError):
                async with connect(self.broker.url, "feed") as connection:
                    channel = await connection.confirm_channel()
                    await asyncio.gather(*(self._publish(channel) for _ in range(8)))
            await asyncio.sleep(0.1)

    async def _publish(self, channel: ConfirmChannel) -> None:
        while True:
            put = await self._put.get()
            try:
                await put_back(channel, put.topology, put.message, encode(put.message))
            except BrokerError:
                self._put.put_nowait(put)
                raise

    async def shared(self) -> None:
        await asyncio.gather(*(flow.shared() for flow in self.flows))

    def note(self, event: str, flow: Flow, took: list[float]) -> None:
        if took:
            self.found.setdefault((event, flow.role, flow.partitions), []).append(took)

    async def end(self, event: str, how: Callable[[Process], None]) -> None:
        """End one process of each flow in turn; then let a new one join each of them."""
        for flow in self.flows:
            partitions, began = flow.of("b"), time.monotonic()
            how(flow.processes["b"])
            self.note(event, flow, await flow.moved(partitions, began, "a"))
        for flow in self.flows:
            await flow.processes["b"].ends()
        joined = await asyncio.gather(*(flow.start("b") for flow in self.flows))
        await self.shared()
        for flow, at in zip(self.flows, joined, strict=True):
            self.note("joins", flow, [max(0.0, flow.taken[n] - at) for n in flow.of("b")])

    async def freeze(self) -> None:
        """Freeze one process of each flow at once."""

        async def one(flow: Flow) -> None:
            partitions, began = flow.of("b"), time.monotonic()
            flow.processes["b"].freeze()
            self.note("is frozen", flow, await flow.moved(partitions, began, "a"))
            async with flow.reconnecting("b"):
                flow.processes["b"].thaw()

        await asyncio.gather(*map(one, self.flows))
        await self.shared()

    async def restart(self) -> None:
        """Kill the broker and start it."""
        async with AsyncExitStack() as stack:
            for flow in self.flows:
                await stack.enter_async_context(flow.reconnecting("a", "b"))
            self.broker.kill()
            began = time.monotonic()
            self.broker.start()
            up = time.monotonic()
            self.found.setdefault(("broker listens", "", 0), []).append([up - began])
            took = await asyncio.gather(
                *(flow.moved(list(range(flow.partitions)), began) for flow in self.flows)
            )
        for flow, each in zip(self.flows, took, strict=True):
            self.note("broker is killed", flow, [seconds - (up - began) for seconds in each])
        await self.shared()

    def show(self) -> None:
        for (event, role, partitions), rounds in self.found.items():
            columns = []
            for name, of in (("first", min), ("last", max)):
                values = [of(each) for each in rounds]
                spread = f"{min(values):.2f} to {max(values):.2f}"
                columns.append(f"{name} {statistics.median(values):6.2f} s ({spread})")
            name = f"{role} {event}, {partitions} partitions" if role else event
            print(f"{name:42} {'  '.join(columns)}  {len(rounds)} rounds", flush=True)


async def measure(partitions: list[int], rounds: int, freezes: int) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    world = World(broker, service, partitions)
    busy = [asyncio.ensure_future(world.read_turns()), asyncio.ensure_future(world.publish())]
    try:
        began = time.monotonic()
        for name in "ab":  # the first process declares the queues
            await asyncio.gather(*(flow.start(name) for flow in world.flows))
        for flow in world.flows:
            for partition in [*range(flow.partitions)] * OUTSTANDING:
                flow.add(partition)
        await world.shared()
        print(f"everything runs after {time.monotonic() - began:.0f} s", flush=True)
        for n in range(1, rounds + 1):
            steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
                ("kill", partial(world.end, "is killed", Process.kill)),
                ("drain", partial(world.end, "is drained", Process.terminate)),
                ("restart", world.restart),
            ]
            for name, step in [*steps, ("freeze", world.freeze)][: 4 if n <= freezes else 3]:
                await step()
                print(f"round {n}, {name} after {time.monotonic() - began:.0f} s", flush=True)
    finally:
        for task in busy:
            task.cancel()
        for flow in world.flows:
            for process in flow.processes.values():
                process.close()
        await service.stop()
        broker.close()
        world.show()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--freezes", type=int, default=2, help="rounds with a frozen process")
    parser.add_argument("--partitions", type=int, nargs="*", default=[8, 32, 128])
    options = parser.parse_args()
    asyncio.run(measure(options.partitions, options.rounds, options.freezes))
