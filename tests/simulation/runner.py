"""Runs schedules by seed: many at once over several processes, or one with its trace."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import NamedTuple

from tests.simulation.plan import Plan, plan
from tests.simulation.world import World

CHUNK = 100
"""Schedules of one process. It ends after them instead of collecting garbage, some 50 MB."""
LONGEST = 120.0
"""Seconds after which a schedule that does not end is given up. Usual ones take a tenth of one."""
EVERY = 30.0
"""Seconds between two lines of progress, if the output is not a terminal."""
SHOWN = 20
"""Failures that are shown in full; of further ones, only the seeds."""
COLLECT_EVERY = 50
"""Schedules between two garbage collections of a test."""
BROKEN = "the simulator itself failed"


class Failure(NamedTuple):
    """A schedule in which an invariant did not hold."""

    seed: int
    invariant: str
    what: str

    def __str__(self) -> str:
        rerun = f"make simulate SEED={self.seed}"
        return f"seed {self.seed}: {self.invariant}: {self.what}\n    {rerun}"


def failures(seeds: range) -> list[Failure]:
    """Run the schedules of these seeds; return those that failed."""
    found = []
    enabled = gc.isenabled()
    gc.disable()
    gc.collect()
    gc.freeze()  # what exists already need not be looked at in each collection
    try:
        for number, seed in enumerate(seeds, 1):
            if failure := _failure(seed):
                found.append(failure)
            if number % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
    return found


def _failure(seed: int) -> Failure | None:
    try:
        violated = World(plan(seed)).run()
    except Exception:
        return Failure(seed, BROKEN, traceback.format_exc())
    return Failure(seed, violated.invariant, violated.what) if violated else None


def simulate(seeds: range, processes: int) -> int:
    """Run schedules over several processes and print what they find; return the exit code."""
    started = shown = time.monotonic()
    found, done = 0, 0
    crew = _Crew(seeds, processes)
    for number in (signal.SIGINT, signal.SIGTERM):  # also if it runs in the background
        signal.signal(number, crew.interrupt)
    for failure in crew.run():
        done += 1
        if failure is not None:
            found += 1
            print(failure if found <= SHOWN else f"seed {failure.seed}", flush=True)
        now = time.monotonic()
        if now > shown + (0.5 if sys.stdout.isatty() else EVERY):
            shown = now
            speed = done / (now - started)
            left = (len(seeds) - done) / speed / 60
            print(
                f"{done:,} of {len(seeds):,} schedules, {speed:.0f}/s, {left:.0f} min left,"
                f" {found} failed ",
                end="\r" if sys.stdout.isatty() else "\n",
                flush=True,
            )
    seconds = time.monotonic() - started
    print(
        f"\n{done:,} schedules (seeds {seeds.start} to {seeds.stop - 1}) in {seconds:.0f} s"
        f" over {processes} processes, {done / max(seconds, 0.001):.0f}/s: {found} failed"
    )
    first = crew.first_left()
    if first < seeds.stop:
        print(f"interrupted; go on with: make simulate FIRST={first} N={seeds.stop - first}")
    sys.stdout.flush()
    return 1 if found else (130 if first < seeds.stop else 0)


class _Crew:
    """The processes that run schedules, each of them a chunk."""

    def __init__(self, seeds: range, processes: int) -> None:
        chunks = (seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK))
        self._chunks, self._size = deque(chunks), processes
        self._end = seeds.stop
        self._is_interrupted = False
        self._at_work: dict[Connection, _Worker] = {}

    def run(self) -> Iterator[Failure | None]:
        """Run all chunks; yield the result of each schedule as soon as it ends."""
        while (self._chunks or self._at_work) and not self._is_interrupted:
            while self._chunks and len(self._at_work) < self._size:
                worker = _Worker(self._chunks.popleft())
                self._at_work[worker.results] = worker
            for results in wait(list(self._at_work), timeout=1.0):
                assert isinstance(results, Connection)
                yield from self._look(self._at_work[results])
            for worker in list(self._at_work.values()):
                if time.monotonic() > worker.since + LONGEST:
                    yield self._failed(worker, f"it did not end within {LONGEST:.0f} s")
        for worker in self._at_work.values():
            worker.end()

    def _look(self, worker: _Worker) -> Iterator[Failure | None]:
        try:
            failure = worker.next_result()
        except EOFError:
            worker.process.join()
            if worker.left:
                yield self._failed(worker, f"exit code {worker.process.exitcode}")
            else:
                self._leave(worker)
        else:
            yield failure

    def _failed(self, worker: _Worker, what: str) -> Failure:
        """Go on behind the schedule that a process could not end."""
        seed, rest = worker.left[0], worker.left[1:]
        self._leave(worker)
        if rest:
            self._chunks.appendleft(rest)
        return Failure(seed, BROKEN, what)

    def _leave(self, worker: _Worker) -> None:
        del self._at_work[worker.results]
        worker.end()

    def interrupt(self, *_: object) -> None:
        """End soon; a handler of signals. An exception of one is lost while a process forks."""
        self._is_interrupted = True

    def first_left(self) -> int:
        """Return the first seed before which all were run."""
        left = [worker.left[0] for worker in self._at_work.values() if worker.left]
        return min([*left, *(chunk[0] for chunk in self._chunks), self._end])


class _Worker:
    """A process that runs some schedules, one after the other."""

    def __init__(self, seeds: range) -> None:
        self.left = seeds
        """Those that it must still end; the first one runs."""
        self.results, sending = multiprocessing.Pipe(duplex=False)
        self.since = time.monotonic()
        """When its schedule began."""
        # A copy of this process has imported everything.
        self.process = ForkProcess(target=_work, args=(seeds, sending), daemon=True)
        self.process.start()
        sending.close()

    def next_result(self) -> Failure | None:
        """Return the result of the schedule that ran.

        Raises:
            EOFError: the process has ended.
        """
        failure: Failure | None = self.results.recv()
        self.left, self.since = self.left[1:], time.monotonic()
        return failure

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.results.close()


def _work(seeds: range, results: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it, too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()
    for seed in seeds:
        results.send(_failure(seed))


def trace(chosen: Plan) -> tuple[list[str], bool]:
    """Run one schedule; return what happened, line by line, and whether all invariants held."""
    world = World(chosen, with_logs=True)
    violated = world.run()
    start = world.ledger.trace[0][0]
    lines = [f"{at - start:9.4f}  {who:10} {what}" for at, who, what in world.ledger.trace]
    return [*_described(chosen), *lines, str(violated or "every invariant holds")], not violated


def _described(chosen: Plan) -> list[str]:
    messages = [
        f"message {it.id} {it.kind} (times: {it.times}, clean-up: {it.clean_up:.1f} s)"
        for it in chosen.scripts
        if it.kind != "ok"
    ]
    faults = [
        f"fault at {fault.at:.3f} s and {fault.steps} steps: {fault.kind}, {fault.seconds:.1f} s"
        for fault in sorted(chosen.faults, key=lambda fault: fault.at)
    ]
    return [
        f"seed {chosen.seed}: {chosen.flow}, workers: {chosen.workers}, partitions:"
        f" {chosen.partitions}, prefetch: {chosen.prefetch}, concurrency: {chosen.concurrency},"
        f" slow: {chosen.slow}",
        *(f"frames: {name} {value:g}" for name, value in vars(chosen.frames).items() if value),
        *messages,
        *faults,
        "",
        "  seconds  who        what",
    ]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
