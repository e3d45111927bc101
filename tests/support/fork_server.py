"""Starts commands without the second of CPU time that each would need for its imports.

A server process imports the bridge once. For each command it forks itself, and the fork becomes a
process like any other: with its own session, directory, environment and output. How a command
starts from nothing is tested by `test_start`, `test_name_clashes`, `test_up` and the examples.

A second server has imported rasa, too. Its forks are the workers that load a model, and `rasa run`;
`make demo`, `up` and the first test of hosted mode import rasa themselves.

Each pytest worker has its servers, so that none waits for another one at its end: execnet kills a
worker that does not end in time, and its coverage is lost. A server ends with its last client.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

TOP = Path(__file__).resolve().parents[2]
LARGEST = 1024 * 1024
"""Bytes of a request: the command and its environment."""
CONNECTIONS: list[socket.socket] = []
SERVERS: list[subprocess.Popen[bytes]] = []
"""Those that this process has started."""
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
MAIN = {"rasa-bridge": "bridge.cli", "rasa": "rasa.__main__"}
"""The commands, and the module whose `main` runs each of them."""
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
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        output: IO[Any],
        errors: IO[Any],
        stdin: IO[Any] | None = None,
    ) -> None:
        """Run a command of `MAIN` with its arguments in `directory`."""
        self.returncode: int | None = None
        request = {"command": command, "directory": str(directory), "env": dict(environment)}
        self._status, status = os.pipe()
        with open(os.devnull, "rb") as nothing:
            files = [(stdin or nothing).fileno(), output.fileno(), errors.fileno(), status]
            server = _server(_needs_rasa(command, environment))
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


def _needs_rasa(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether it is `rasa`, or a worker that loads a model, with rasa's settings as they are."""
    name, *arguments = command
    options = {argument.partition("=")[0] for argument in arguments}
    return name == "rasa" or (
        find_spec("rasa") is not None
        and arguments[:1] == ["worker"]
        and not options & {"--handler", "--rasa-url", "--help"}
        # Rasa reads these as it is imported.
        and not any(
            name.startswith("RASA_") and os.environ.get(name) != value
            for name, value in environment.items()
        )
    )


@functools.cache
def _server(with_rasa: bool) -> socket.socket:
    """Connect to a server of this process; start it if there is none."""
    path = Path(
        tempfile.gettempdir(), f"rasa-bridge-{RUN}{WORKER}-{'rasa' if with_rasa else 'forks'}"
    )
    ours = _seqpacket()
    with _locked(path):
        try:
            ours.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
            with _seqpacket() as listener:
                listener.bind(str(path))
                listener.listen(64)
                _start(listener, path, with_rasa)
            ours.connect(str(path))
    CONNECTIONS.append(ours)
    return ours


@atexit.register
def _leave() -> None:
    for connection in CONNECTIONS:
        connection.close()
    for server in SERVERS:
        server.wait()


def _seqpacket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    return made


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(listener: socket.socket, path: Path, with_rasa: bool) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.fork_server", str(listener.fileno()), str(path)),
            *(["with rasa"] if with_rasa else []),
        ],
        cwd=TOP,
        env={name: value for name, value in os.environ.items() if name != "AMQP_URL"}
        | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
    )
    SERVERS.append(process)


# ---- in the server -------------------------------------------------------------------------------


def serve(listener: socket.socket, path: Path) -> str:
    """Fork for every request until no client is left; returns in a fork to run its command."""
    clients: dict[int, socket.socket] = {}
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                clients[client.fileno()] = client
                selector.register(client, selectors.EVENT_READ)
            elif key.data:
                selector.unregister(key.fd)
                _report(key.fd, *key.data)
            elif request := _request(client := clients[key.fd]):
                message, files = request
                if not (pid := os.fork()):
                    selector.close()
                    for inherited in (listener, *clients.values()):
                        inherited.close()
                    return become(json.loads(message), *files)
                for file in files[:3]:
                    os.close(file)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, files[3]))
            else:
                selector.unregister(client)
                clients.pop(key.fd).close()
                if not clients:
                    _end(listener, path)


def _request(client: socket.socket) -> tuple[bytes, list[int]] | None:
    try:
        message, files, _, _ = socket.recv_fds(client, LARGEST, 4)
    except ConnectionResetError:
        return None
    return (message, files) if message else None


def _end(listener: socket.socket, path: Path) -> None:
    """End, unless a client has just connected: it does so under the same lock."""
    with _locked(path):
        if select.select([listener], [], [], 0)[0]:
            return
        path.unlink()
        path.with_suffix(".lock").unlink()
        sys.exit()


def _report(pidfd: int, pid: int, status: int) -> None:
    os.close(pidfd)
    _, ended = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError), open(status, "wb", buffering=0) as report:
        report.write(b"%d\n" % os.waitstatus_to_exitcode(ended))


def become(request: Mapping[str, Any], stdin: int, output: int, errors: int, status: int) -> str:
    """Turn this fork into the process that was asked for; return the module that runs it."""
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
    sys.argv = request["command"]
    time.tzset()
    return MAIN[sys.argv[0]]


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
    number, place, *more = sys.argv[1:]
    import_everything("with rasa" in more)
    importlib.import_module(serve(socket.socket(fileno=int(number)), Path(place))).main()
