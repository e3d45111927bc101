"""Several processes in one terminal: start, prefix their output, restart, stop all at once."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from bridge.runtime.retry import backoff
from bridge.runtime.role import on_signals
from bridge.telemetry import logs

log = logging.getLogger(__name__)

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
STEADY = 10.0
"""Seconds after which a process that ended is started again without back-off."""
_PR_SET_PDEATHSIG = 1
USAGE_ERROR = 2
"""Exit code of a wrong setting: starting again would not help."""


@dataclass(frozen=True)
class Program:
    """A process to keep running."""

    name: str
    """In front of each line that it prints; empty: its output is passed on as it is."""
    command: Sequence[str]
    environment: Mapping[str, str] | None = None


class Supervisor:
    """Keeps programs running until it is told to stop."""

    def __init__(self, programs: Sequence[Program], grace: float) -> None:
        """`grace`: seconds that a program has to end by itself before it is killed."""
        self._programs = programs
        self._grace = grace
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._width = max((len(p.name) for p in programs), default=0)
        self._exit_code = 0

    async def run(self) -> int:
        """Run until a signal comes, or a program ends with a usage error; return the exit code."""
        on_signals(self._stopping.set, self._kill)
        await asyncio.gather(*(self._keep(program, n) for n, program in enumerate(self._programs)))
        return self._exit_code

    async def _keep(self, program: Program, number: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._once(program, COLOURS[number % len(COLOURS)])
            if self._stopping.is_set():
                # One that had to be killed did not stop cleanly; one that SIGTERM ended had not
                # begun to work: its own handler was not in place yet.
                clean = code in (0, -signal.SIGTERM)
                self._exit_code = self._exit_code or (0 if clean else 1)
                return
            if code == USAGE_ERROR:
                self._exit_code = USAGE_ERROR
                self._stopping.set()
                return
            failures = 1 if time.monotonic() - started > STEADY else failures + 1
            delay = backoff(failures, base=1.0, cap=30.0)
            log.error("%s ended with code %d; started again in %.1f s", program.name, code, delay)
            await _either(asyncio.sleep(delay), self._stopping.wait())

    async def _once(self, program: Program, colour: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(program.environment or {})},
            # A group of its own: Ctrl-C reaches only this process, which passes it on in order.
            start_new_session=True,
            preexec_fn=_end_with_parent,
            limit=1024 * 1024,
        )
        self._running.add(process)
        printing = asyncio.ensure_future(self._print(program, process, colour))
        ended = asyncio.ensure_future(process.wait())
        try:
            await _either(ended, self._stopping.wait())
            if not ended.done():
                await self._stop(process)
            return await ended
        finally:
            self._running.discard(process)
            if process.returncode is None:
                process.kill()
            await asyncio.wait({printing}, timeout=1)

    def _kill(self) -> None:
        for process in self._running:
            process.kill()

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            # Twice the grace period: that is for its turns, closing comes on top.
            await asyncio.wait_for(process.wait(), self._grace * 2 + 5)
        except asyncio.TimeoutError:
            process.kill()

    async def _print(
        self, program: Program, process: asyncio.subprocess.Process, colour: str
    ) -> None:
        assert process.stdout is not None
        while line := await _next_line(process.stdout):
            text = line.decode(errors="replace").rstrip("\n")
            if program.name and not logs.is_json():
                prefix = f"{program.name:<{self._width}} │ "
                self._console.print(Text(prefix, style=colour) + Text.from_ansi(text))
            else:
                sys.stderr.write(text + "\n")


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        # Unread, the pipe would fill up and the process would stop at its next line.
        return b"(a line of more than 1 MiB is left out)\n"


def _end_with_parent() -> None:
    """In a child: be told to stop if the supervisor is killed (Linux; prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _either(*awaitables: object) -> None:
    """Return when the first of several awaitables has ended; cancel those that were made here."""
    futures = {a: asyncio.ensure_future(a) for a in awaitables}  # type: ignore[call-overload]
    await asyncio.wait(futures.values(), return_when=asyncio.FIRST_COMPLETED)
    for awaitable, future in futures.items():
        if future is not awaitable:
            future.cancel()


def bridge_command(*arguments: str) -> list[str]:
    """Return the command line of one of our own commands, in this Python."""
    return [sys.executable, "-m", "bridge", *arguments]
