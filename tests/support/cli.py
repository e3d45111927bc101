"""Runs `rasa-bridge …` to its end, as a user does, in 80 columns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import logged
from tests.support.broker import TOP


def run_bridge(
    directory: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in `directory`. It gets AMQP_URL from `env` only, not from this process."""
    environment = {k: v for k, v in os.environ.items() if k != "AMQP_URL"}
    environment |= {"PYTHONPATH": f"{directory}{os.pathsep}{TOP}", "COLUMNS": "80", **(env or {})}
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    logged.PRINTED.write(done.stderr)
    return done


def only_line(ran: subprocess.CompletedProcess[str], code: int) -> str:
    """Check the exit code of a failed command; return the one line that it printed."""
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stderr.startswith("rasa-bridge: "), ran.stderr
    return ran.stderr.removeprefix("rasa-bridge: ").strip()


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Listen on a port of loopback."""
    with socket.create_server(("127.0.0.1", port)):
        yield
