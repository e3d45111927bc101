"""Runs several processes in one terminal: prefixes their output, restarts and stops them."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

import bridge
from bridge.runtime import readiness
from bridge.runtime.readiness import Listener
from bridge.runtime.retry import backoff
from bridge.runtime.role import on_signals
from bridge.telemetry import logs

log = logging.getLogger(__name__)

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
STEADY = 10.0
"""Seconds: a process that ran for longer than this is restarted with the shortest back-off."""
PIPES = 0.3
"""Seconds after which the output of a program has passed through its pipe."""
_PR_SET_PDEATHSIG = 1
USAGE_ERROR = 2
"""Exit code for a wrong setting: a restart would not help."""


@dataclass(frozen=True)
class Program:
    """A process to keep running."""

    name: str
    """Prefix of each line that it prints; if empty, its output is passed through unchanged."""
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    after: Sequence[str] = ()
    """Names of the programs that must be ready before it starts."""


class Supervisor:
    """Keeps programs running until it receives a signal."""

    def __init__(
        self,
        programs: Sequence[Program],
        grace: float,
        on_ready: Callable[[float], None] | None = None,
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`grace`: the programs' own grace period, in seconds; see `_stop`.

        `on_ready` is called once all programs are ready, with the seconds that it took. `first` is
        awaited before any of them starts.
        """
        self._on_ready = on_ready
        self._first = first
        self._last_lines: dict[str, str] = {}
        """What each program printed last."""
        self._cause = ""
        """Why all programs were stopped."""
        self._listeners: dict[str, Listener] = {}
        self._programs = programs
        self._grace = grace
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._width = max((len(p.name) for p in programs), default=0)
        self._exit_code = 0

    async def run(self) -> int:
        """Run until a signal arrives or a program exits with USAGE_ERROR; return the exit code."""
        on_signals(self._stopping.set, self._kill)
        started = time.monotonic()
        if self._first is not None:
            await self._unless_stopped(self._first())
        if self._stopping.is_set():
            return 0
        with TemporaryDirectory(prefix="rasa-bridge-") as folder:
            self._listeners = {
                p.name: Listener(f"{folder}/{n}") for n, p in enumerate(self._programs)
            }
            announcing = asyncio.ensure_future(self._announce(started))
            try:
                await asyncio.gather(
                    *(self._keep(program, n) for n, program in enumerate(self._programs))
                )
            finally:
                announcing.cancel()
                for listener in self._listeners.values():
                    listener.close()
        if self._cause:
            # Last, because what the others print while they stop hides the reason.
            log.error("stopped: %s", self._cause)
        return self._exit_code

    async def _unless_stopped(self, first: Awaitable[None]) -> None:
        beginning = asyncio.ensure_future(first)
        try:
            await _either(beginning, self._stopping.wait())
            if beginning.done():
                beginning.result()
        finally:
            beginning.cancel()

    async def _announce(self, started: float) -> None:
        for listener in self._listeners.values():
            await listener.ready.wait()
        # What the programs have printed until now comes first.
        await asyncio.sleep(PIPES)
        if self._on_ready is not None:
            self._on_ready(time.monotonic() - started)
        readiness.tell(readiness.READY)

    async def _keep(self, program: Program, number: int) -> None:
        failures = 0
        if program.after:
            log.info("%s starts once %s is ready", program.name, ", ".join(program.after))
        for name in program.after:
            await _either(self._listeners[name].ready.wait(), self._stopping.wait())
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._once(program, COLOURS[number % len(COLOURS)])
            if self._stopping.is_set():
                # SIGTERM as the exit status means that the program had not started to work: its
                # signal handler was not installed yet. Any other non-zero code is a failed stop.
                clean = code in (0, -signal.SIGTERM)
                self._exit_code = self._exit_code or (0 if clean else 1)
                return
            if code == USAGE_ERROR:
                self._exit_code = USAGE_ERROR
                said = self._last_lines.get(program.name, "").removeprefix("rasa-bridge: ")
                self._cause = f"{program.name} ended with code {code}: {said}"
                self._stopping.set()
                return
            failures = 1 if time.monotonic() - started > STEADY else failures + 1
            delay = backoff(failures, base=1.0, cap=30.0)
            log.error("%s ended with code %d; restarting in %.1f s", program.name, code, delay)
            await _either(asyncio.sleep(delay), self._stopping.wait())

    async def _once(self, program: Program, colour: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                readiness.SOCKET: self._listeners[program.name].address,
                **(program.environment or {}),
            },
            # A session for each, so that Ctrl-C reaches only the supervisor, which stops them.
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
            # The grace period is for running turns alone; closing connections takes extra time.
            await asyncio.wait_for(process.wait(), self._grace * 2 + 5)
        except asyncio.TimeoutError:
            process.kill()

    async def _print(
        self, program: Program, process: asyncio.subprocess.Process, colour: str
    ) -> None:
        assert process.stdout is not None
        while line := await _next_line(process.stdout):
            text = line.decode(errors="replace").rstrip("\n")
            self._last_lines[program.name] = text
            if program.name and not logs.is_json():
                prefix = f"{program.name:<{self._width}} │ "
                self._console.print(Text(prefix, style=colour) + Text.from_ansi(text))
            else:
                sys.stderr.write(text + "\n")


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        # Keep reading: a full pipe would block the process.
        return b"(a line longer than 1 MiB was omitted)\n"


def _end_with_parent() -> None:
    """In the child: receive SIGTERM if the supervisor is killed (Linux only; prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _either(*awaitables: object) -> None:
    """Wait for the first of several awaitables. Cancel the others, except existing futures."""
    futures = {a: asyncio.ensure_future(a) for a in awaitables}  # type: ignore[call-overload]
    await asyncio.wait(futures.values(), return_when=asyncio.FIRST_COMPLETED)
    for awaitable, future in futures.items():
        if future is not awaitable:
            future.cancel()


def bridge_command(*arguments: str) -> list[str]:
    """Return the command line that runs `rasa-bridge` with `arguments` in this Python.

    It works in any folder: `python -m bridge` would run a `bridge.py` that a user has there.
    """
    return [sys.executable, str(Path(bridge.__file__).with_name("__main__.py")), *arguments]
