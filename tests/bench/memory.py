"""Memory of a process (Linux, /proc)."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import Process


def rss(process: Process) -> float:
    """Return the resident memory in MB (10**6 bytes)."""
    for line in Path(f"/proc/{process.popen.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no VmRSS")
