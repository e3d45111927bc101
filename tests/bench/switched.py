"""Runs a role whose trace is on and off by turns; for `tests.bench.trace_cost`.

    python -m tests.bench.switched FILE {switched,never} COMMAND …

Hops are written at the end of each second of the clock. Then a line is added to FILE: the second,
the CPU time and the number of messages so far. With `never`, the trace stays off.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path

from bridge.errors import BrokerError
from bridge.telemetry import metrics
from bridge.telemetry.trace.recorder import Sender, process_hops


def is_on(second: int) -> bool:
    """Return whether the trace is on: on, off, off, on, so that slow changes cancel."""
    return second % 4 in (0, 3)


def messages(role: str) -> float:
    """Return how many messages this process has handled."""
    if role == "webhook":
        return float(sum(metrics.acknowledgement.labels("callback").sketch.values()))
    flow = "inbound" if role == "worker" else "replies"
    handled = metrics.messages.labels(flow, "callback", "handled")
    handled.count()
    return float(handled._value.get())


def switching(file: Path, role: str, *, never: bool) -> None:
    """Replace the loop that writes hops."""

    async def run(self: Sender) -> None:
        process_hops.on(1)
        while True:
            now = time.time()
            second = int(now)
            process_hops.is_on = is_on(second) and not never
            await asyncio.sleep(second + 1 - now)
            with suppress(BrokerError):
                await self.flush()
            with file.open("a") as lines:
                line = second, time.process_time(), messages(role)
                lines.write(json.dumps(line) + "\n")

    Sender.run = run  # type: ignore[method-assign]


if __name__ == "__main__":
    from bridge.cli import main

    switching(Path(sys.argv[1]), sys.argv[3], never=sys.argv[2] == "never")
    main(sys.argv[3:])
