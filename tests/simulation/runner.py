"""Runs schedules by seed: many at once over several processes, or one with its trace."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.plan import Plan, plan
from tests.simulation.world import World

CHUNK = 50
"""Schedules that a process runs before it reports."""
EVERY = 30.0
"""Seconds between two lines of progress, if the output is not a terminal."""
SHOWN = 20
"""Failures that are shown in full; of further ones, only the seeds."""
COLLECT_EVERY = 50
"""Schedules between two garbage collections."""


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
    gc.freeze()  # what exists already need not be looked at in each collection
    try:
        for number, seed in enumerate(seeds):
            if number % COLLECT_EVERY == 0:
                gc.collect()
            if failure := _failure(seed):
                found.append(failure)
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
    return found


def _failure(seed: int) -> Failure | None:
    try:
        violated = World(plan(seed)).run()
    except Exception:
        return Failure(seed, "the simulator itself failed", traceback.format_exc())
    return Failure(seed, violated.invariant, violated.what) if violated else None


def simulate(seeds: range, processes: int) -> int:
    """Run schedules over several processes and print what they find; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also if it runs in the background
        signal.signal(number, signal.default_int_handler)
    started = shown = time.monotonic()
    found, done = 0, 0
    try:
        for size, failed in _results(seeds, processes):
            done += size
            for failure in failed:
                found += 1
                print(failure if found <= SHOWN else f"seed {failure.seed}", flush=True)
            now = time.monotonic()
            if sys.stdout.isatty() or now > shown + EVERY:
                shown = now
                speed = done / (now - started)
                text = f"{done:,} of {len(seeds):,} schedules, {speed:.0f}/s, {found} failed"
                print(text, end="\r" if sys.stdout.isatty() else "\n", flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted", flush=True)
    seconds = time.monotonic() - started
    print(
        f"\n{done:,} schedules (seeds {seeds.start} to {seeds.stop - 1}) in {seconds:.0f} s"
        f" over {processes} processes, {done / max(seconds, 0.001):.0f}/s: {found} failed"
    )
    return 1 if found else (130 if done < len(seeds) else 0)


def _results(seeds: range, processes: int) -> Iterator[tuple[int, list[Failure]]]:
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with multiprocessing.Pool(processes, _ignore_interrupts) as pool:
        yield from pool.imap_unordered(_chunk, chunks)


def _chunk(seeds: range) -> tuple[int, list[Failure]]:
    return len(seeds), failures(seeds)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


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
