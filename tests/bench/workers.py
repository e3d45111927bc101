"""Compares two worker processes of a real assistant with one: turns per second, and their CPU time.

    .venv-rasa/bin/python -m tests.bench.workers [--messages 300] [--rounds 3] [--workers 2]
                                                 [--store postgresql://user:password@host/name]

Two projects on one broker, each with a webhook: one has one worker, the other has more. Their
rounds are interleaved. Of each round, all messages are queued while the flow is paused, each of
another conversation, so that the webhook takes no CPU time from the turns. A worker's rate is
that of the time in which it has messages: the partitions are shared by a hash, not exactly evenly.

On a machine that others use, the workers wait for a core, and the ratio of the rates says little.
So the bench also prints for which part of the time they had one, and compares the CPU time of a
turn: if it is the same, two workers with a core each run twice as many turns. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from tests.acceptance.stack import MODEL
from tests.bench import cpu
from tests.bench.turns import PATIENCE, TEXTS, endpoints
from tests.support.broker import free_port, make_broker
from tests.support.processes import Process, Project

POLL = 0.02
"""Seconds between two looks at the logs."""
PARTITIONS = 32
"""The default of the bridge."""


class Part(NamedTuple):
    """One worker's part of a round; all times in seconds."""

    turns: int
    took: float
    cpu: float
    waited: float
    """For a core."""


@dataclass
class Round:
    parts: list[Part]

    @property
    def rate(self) -> float:
        """Turns per second, of workers that have messages."""
        return sum(part.turns / part.took for part in self.parts)

    @property
    def cpu(self) -> float:
        """CPU seconds of a turn."""
        return sum(part.cpu for part in self.parts) / sum(part.turns for part in self.parts)

    @property
    def share(self) -> float:
        """The part of the time in which the workers had the core that they wanted."""
        return 1 - sum(part.waited for part in self.parts) / sum(part.took for part in self.parts)


class Side:
    """A project with a number of workers."""

    def __init__(self, project: Project, http: aiohttp.ClientSession, store: str | None) -> None:
        self._project = project
        self._http = http
        self._port = free_port()
        self._workers: list[Process] = []
        self._total = 0
        self._pauses = 0
        project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:9/\n")
        broker = f"bridge:\n  url: {project.broker_url}\n  namespace: {project.namespace}\n"
        database = project.directory / f"{project.namespace}_{project.directory.name}.db"
        project.write(
            "endpoints.yml",
            f"{broker}  partitions: {{inbound: {PARTITIONS}}}\n{endpoints(store, database)}",
        )

    async def start(self, workers: int) -> None:
        arguments = "worker", "-m", str(MODEL)
        self._workers = [self._project.bridge(*arguments, fork=False) for _ in range(workers)]
        await self._project.webhook(self._port)
        for worker in self._workers:
            await worker.prints("consuming", patience=PATIENCE)

    async def run(self, name: str, messages: int) -> Round:
        """Queue the messages, run their turns, and return what each worker did."""
        await self._pause()
        url = f"http://127.0.0.1:{self._port}/webhooks/callback/webhook"
        for n in range(messages):
            body = {"sender": f"{name}.{n}", "message": TEXTS[n % len(TEXTS)]}
            async with self._http.post(url, json=body) as response:
                assert response.status == 200
        idle = self._done()
        assert sum(idle) == self._total, "the flow is paused"
        self._total += messages
        await self._command("resume", "inbound")
        while (first := self._done()) == idle:
            await asyncio.sleep(POLL)
        began, before = time.monotonic(), self._times()
        done, last = first, [(began, times) for times in before]
        while sum(done) < self._total:
            await asyncio.sleep(POLL)
            counts, times = self._done(), self._times()
            now = time.monotonic()
            changed = [new != old for new, old in zip(counts, done, strict=True)]
            last = [(now, times[n]) if new else last[n] for n, new in enumerate(changed)]
            done = counts
        return Round(
            [
                Part(done[n] - first[n], ended - began, used - before[n][0], waited - before[n][1])
                for n, (ended, (used, waited)) in enumerate(last)
                if ended > began
            ]
        )

    def _done(self) -> list[int]:
        return [worker.log.count("turn took") for worker in self._workers]

    def _times(self) -> list[tuple[float, float]]:
        """Return the CPU time of each worker, and its time of waiting for a core."""
        pids = [worker.popen.pid for worker in self._workers]
        return [(cpu.seconds(pid), cpu.waited(pid)) for pid in pids]

    async def _pause(self) -> None:
        self._pauses += 1
        await self._command("pause", "inbound")
        for worker in self._workers:
            await worker.prints("paused by an operator", self._pauses, PATIENCE)

    async def _command(self, *arguments: str) -> None:
        process = self._project.bridge(*arguments)
        assert await process.ends(PATIENCE) == 0, process.log


async def compare(given: Any, broker_url: str, http: aiohttp.ClientSession) -> None:
    """Print the rounds of both sides, interleaved, and the medians."""
    projects = [
        Project(Path(tempfile.mkdtemp()), broker_url, f"workers{n}") for n in (1, given.workers)
    ]
    one, more = (Side(project, http, given.store) for project in projects)
    try:
        await one.start(1)
        await more.start(given.workers)
        for side in (one, more):
            await side.run("warm", 10 * given.workers)
        rounds = []
        for n in range(given.rounds):
            alone = await one.run(f"r{n}", given.messages)
            rounds.append((alone, await more.run(f"r{n}", given.messages)))
            print("  " + "; ".join(map(text_of, rounds[-1])), flush=True)
        _print("turns per second", [b.rate / a.rate for a, b in rounds])
        with_cores = [given.workers * a.cpu / b.cpu for a, b in rounds]
        _print("turns per second, if each has a core", with_cores)
    finally:
        for project in projects:
            project.close()


def _print(what: str, ratios: list[float]) -> None:
    listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"{what}: {statistics.median(ratios):.2f} times as many ({listed})", flush=True)


def text_of(round: Round) -> str:
    turns = "+".join(str(part.turns) for part in round.parts)
    return (
        f"{turns} turns, {round.rate:.1f}/s, {round.cpu * 1000:.1f} ms CPU a turn,"
        f" had a core {round.share:.0%} of the time"
    )


async def measure(given: Any) -> None:
    broker = make_broker()
    broker.start()
    try:
        async with aiohttp.ClientSession() as http:
            await compare(given, broker.url, http)
    finally:
        broker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=300, help="turns of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="compared with one")
    parser.add_argument("--store", help="URL of a PostgreSQL server; default: SQLite files")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
