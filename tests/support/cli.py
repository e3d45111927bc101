"""Runs `rasa-bridge …` to its end, as a user does, in 80 columns."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from tests.support import logged
from tests.support.broker import TOP
from tests.support.fork_server import Forked


def run_bridge(
    directory: Path, *arguments: str, env: dict[str, str] | None = None, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command in `directory`, with `answer` as its input.

    It gets AMQP_URL from `env` only, not from this process.
    """
    environment = {k: v for k, v in os.environ.items() if k != "AMQP_URL"}
    environment |= {"PYTHONPATH": f"{directory}{os.pathsep}{TOP}", "COLUMNS": "80", **(env or {})}
    with TemporaryFile("w+") as given, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        given.write(answer)
        given.seek(0)
        command = ["rasa-bridge", *arguments]
        process = Forked(command, directory, environment, output, errors, given)
        try:
            code = process.wait(120)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        done = subprocess.CompletedProcess(arguments, code, output.read(), errors.read())
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
