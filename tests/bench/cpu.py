"""CPU time as the operating system counts it (Linux, /proc)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.broker import Broker, ScriptBroker
from tests.support.processes import Process


def seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process that still run, in seconds.

    The scheduler counts nanoseconds; /proc/<pid>/stat has ticks of 10 ms.
    """
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def used(processes: Mapping[str, Process], broker: Broker) -> dict[str, float]:
    """Return name → CPU time so far, in seconds; of the broker, too, unless it is a container."""
    pids = {name: process.popen.pid for name, process in processes.items()}
    if isinstance(broker, ScriptBroker):
        pids["broker"] = int((broker.data / "pid").read_text())
    return {name: seconds(pid) for name, pid in pids.items()}


def waited(pid: int) -> float:
    """Return how long the main thread of a process was ready to run and had no core, in seconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def busy() -> float:
    """Return the CPU time that the whole machine has spent on anything but idling, in seconds."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
