"""What the local broker and its set-up share: processes, ports and locks. Nothing of RabbitMQ's own
configuration belongs here. Standard library only.
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
    """The broker, or what it needs, could not be started or made."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def failure(code: int, *lines: str) -> SystemExit:
    """Say why, and give what to raise."""
    say("\n".join(lines))
    return SystemExit(code)


def succeeds(*command: str, timeout: float = 10) -> bool:
    """Whether a command can be run and exits with 0; its output is dropped."""
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, timeout=timeout, **quiet).returncode == 0
    return False


def follow(command: list[str], log_path: Path, **options: Any) -> bool:
    """Run a command that takes long, its output in a log, a line of it shown every few seconds."""
    began = told = time.monotonic()
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
    process = subprocess.Popen(command, preexec_fn=die_with_parent, **output, **options)
    try:
        with log_path.open("w") as log:
            for line in process.stdout or ():
                log.write(line)
                if time.monotonic() - told > 5 and line.strip():
                    told = time.monotonic()
                    say(f"  {told - began:3.0f} s  {line.strip()[:80]}")
        process.wait()
    finally:
        process.kill()  # nothing, if it has ended
        process.wait()
    say(f"  {time.monotonic() - began:3.0f} s  {'failed' if process.returncode else 'done'}")
    return process.returncode == 0


def die_with_parent() -> None:
    """For `preexec_fn`: the child is killed when this process dies (Linux only)."""
    if LIBC is not None:
        LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, kept across exec


def free_ports(count: int, avoid: tuple[int | None, ...] = ()) -> list[int]:
    """Free ports below every system's range for outgoing connections, so that no client takes one
    while a killed broker is being started again. Processes that start together get different ones,
    since the search begins at a place that depends on the process id."""
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
    """Whether the broker answers the protocol header with a method frame (connection.start)."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
        peer.sendall(b"AMQP\x00\x00\x09\x01")
        return peer.recv(1) == b"\x01"
    return False


@contextlib.contextmanager
def locked(path: Path, patience: float, waiting: str = "", refusal: str = "") -> Iterator[None]:
    """Hold a lock file; after `patience` seconds without success, fail with `refusal`."""
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
                        1, refusal or f"{path} is still held by another process; end that one."
                    )
                time.sleep(0.1)
        yield
