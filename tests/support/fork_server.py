"""Starts commands without the second of CPU time that each would need for its imports.

A server process imports the bridge once. For each command it forks itself, and the fork becomes a
process like any other: with its own session, directory, environment and output. How a command
starts from nothing is tested by `test_start`, `test_name_clashes`, `test_up` and the examples.

A second server, started when it is first needed, has imported rasa, too. Its forks are the workers
that load a model; `make demo`, `up` and hosted mode import rasa themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

TOP = Path(__file__).resolve().parents[2]
LARGEST = 1024 * 1024
"""Bytes of a request: the command and its environment."""
NEED_RASA = {
    "bridge.hosted",
    "worker.agent",
    "worker.api",
    "worker.api_call",
    "worker.api_changes",
    "worker.api_reads",
    "worker.commands",
    "worker.compat",
    "worker.hosted",
    "worker.rasa_logs",
    "worker.reminders",
}

NEEDS_OTEL = "bridge.telemetry.trace.spans"
"""Needs the extra `otel`, which processes import only if it is configured."""


class Forked:
    """A command that the server started; has the part of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        output: IO[Any],
        errors: IO[Any],
        stdin: IO[Any] | None = None,
    ) -> None:
        """Run `rasa-bridge` with these arguments in `directory`."""
        self.returncode: int | None = None
        request = {"arguments": arguments, "directory": str(directory), "env": dict(environment)}
        self._status, status = os.pipe()
        with open(os.devnull, "rb") as nothing:
            files = [(stdin or nothing).fileno(), output.fileno(), errors.fileno(), status]
            server = _server(_loads_a_model(arguments, environment))
            socket.send_fds(server, [json.dumps(request).encode()], files)
        os.close(status)
        self._reports = open(self._status, "rb", buffering=0)  # noqa: SIM115
        self.pid = int(self._reports.readline())

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        if (code := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._reports, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            self.returncode = int(self._reports.readline())
            self._reports.close()
        return self.returncode


def _loads_a_model(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether this is a worker that runs its turns on a model, with rasa's settings as they are."""
    options = {argument.partition("=")[0] for argument in arguments}
    return (
        find_spec("rasa") is not None
        and arguments[:1] in (["worker"], ("worker",))
        and not options & {"--handler", "--rasa-url", "--help"}
        # Rasa reads these as it is imported.
        and not any(
            name.startswith("RASA_") and os.environ.get(name) != value
            for name, value in environment.items()
        )
    )


@functools.cache
def _server(with_rasa: bool) -> socket.socket:
    """Start the server, which ends with this process."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, its):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    with its:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.fork_server", str(its.fileno())),
                *(["with rasa"] if with_rasa else []),
            ],
            cwd=TOP,
            env={name: value for name, value in os.environ.items() if name != "AMQP_URL"}
            | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


# ---- in the server -------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Fork for every request until the tests end; returns in a fork to run its command."""
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not requests:
                selector.unregister(key.fd)
                _report(key.fd, *key.data)
                continue
            message, files, _, _ = socket.recv_fds(requests, LARGEST, 4)
            if not message:
                sys.exit()
            if not (pid := os.fork()):
                selector.close()
                requests.close()
                return become(json.loads(message), *files)
            for file in files[:3]:
                os.close(file)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, files[3]))


def _report(pidfd: int, pid: int, status: int) -> None:
    os.close(pidfd)
    _, ended = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError), open(status, "wb", buffering=0) as report:
        report.write(b"%d\n" % os.waitstatus_to_exitcode(ended))


def become(request: Mapping[str, Any], stdin: int, output: int, errors: int, status: int) -> None:
    """Turn this fork into the process that was asked for."""
    os.setsid()
    for number, file in enumerate((stdin, output, errors)):
        os.dup2(file, number)
    os.write(status, b"%d\n" % os.getpid())
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # those of the server and of other commands
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["env"])
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [request["directory"], *path, *(p for p in sys.path if p not in ("", str(TOP)))]
    sys.argv = ["rasa-bridge", *request["arguments"]]
    time.tzset()


def import_everything(with_rasa: bool) -> None:
    """Import what commands import when they run."""
    from bridge.runtime.imports import claim_names

    claim_names()
    left_out = {NEEDS_OTEL, "bridge.__main__"} | (set() if with_rasa else NEED_RASA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if with_rasa:
            # In the order of `worker.start`.
            importlib.import_module("skops.io")
            importlib.import_module("rasa.engine.recipes.default_recipe")
        for package in ("bridge", "worker"):
            for found in pkgutil.walk_packages([str(TOP / package)], f"{package}."):
                if found.name not in left_out:
                    importlib.import_module(found.name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    import_everything("with rasa" in sys.argv)
    serve(socket.socket(fileno=int(sys.argv[1])))
    from bridge.cli import main

    main()
