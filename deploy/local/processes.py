"""Processes, ports and locks, shared by the scripts in this directory.

Nothing about RabbitMQ's configuration belongs here. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartFailed(Exception):
    """The broker, or something that it needs, could not be started or built."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def failure(code: int, *lines: str) -> SystemExit:
    """Print the reason; return the exception to raise."""
    say("\n".join(lines))
    return SystemExit(code)


def succeeds(*command: str, timeout: float = 10, cwd: Path | None = None) -> bool:
    """Return whether a command runs and exits with 0. Its output is discarded."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        run = subprocess.run(
            command,
            timeout=timeout,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return run.returncode == 0
    return False


def follow(command: list[str], log_path: Path, **options: Any) -> bool:
    """Run a slow command; log its output, and print one of its lines every few seconds.

    Returns whether the command exited with 0.
    """
    began = told = time.monotonic()
    process = subprocess.Popen(
        command,
        preexec_fn=die_with_parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )
    try:
        with log_path.open("w") as log:
            for line in process.stdout or ():
                log.write(line)
                if time.monotonic() - told > 5 and line.strip():
                    told = time.monotonic()
                    say(f"  {told - began:3.0f} s  {line.strip()[:80]}")
        process.wait()
    finally:
        process.kill()  # does nothing if it has ended
        process.wait()
    say(f"  {time.monotonic() - began:3.0f} s  {'failed' if process.returncode else 'done'}")
    return process.returncode == 0


def die_with_parent() -> None:
    """As `preexec_fn`: the kernel kills the child when this process dies (Linux only)."""
    if LIBC is not None:
        LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG survives exec


def free_ports(count: int, avoid: tuple[int | None, ...] = ()) -> list[int]:
    """Return free ports below every system's range for outgoing connections.

    So no client takes the port of a killed broker before it is restarted. The search starts at
    an offset derived from the process id: processes that start together get different ports.
    """
    found: list[int] = []
    offset = os.getpid() * 4
    while len(found) < count:
        port = 20000 + offset % 10000
        offset += 1
        if port in avoid:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def accepts_amqp(port: int) -> bool:
    """Return whether a broker answers the protocol header with connection.start."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
        peer.sendall(b"AMQP\x00\x00\x09\x01")
        return peer.recv(1) == b"\x01"
    return False


@contextlib.contextmanager
def locked(path: Path, patience: float, waiting: str = "", refusal: str = "") -> Iterator[None]:
    """Hold a lock file. `waiting` is printed if another process has it.

    Raises:
        SystemExit: the lock was not free within `patience` seconds; prints `refusal`.
    """
    with path.open("w") as file:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting:
                    say(waiting)
                    waiting = ""
                if time.monotonic() > deadline:
                    raise failure(
                        1, refusal or f"Another process still holds {path}; stop that process."
                    )
                time.sleep(0.1)
        yield
