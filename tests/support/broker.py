"""A private RabbitMQ for tests: from testcontainers if Docker answers, else from the script."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "deploy" / "local" / "broker.py"
RELEASE = os.environ.get("RASA_BRIDGE_RABBITMQ") or "4"
IMAGE = f"rabbitmq:{RELEASE}-management"


_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_part = int(os.environ.get("TEST_PART", "0"))  # of `make test`, whose parts run at once
# Below the ports from which connections are made (32768 on Linux): one of those may take a port
# before a test listens there, or while a process is restarted.
_first = 20000 + _part % 3 * 4000 + _worker % 8 * 500
_ports = itertools.cycle(random.sample(range(_first, _first + 500), 500))


def free_port() -> int:
    """Return a port on which nothing listens. Each pytest worker has a separate range."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports are a cycle")


MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free in memory: each broker keeps some 100 MB there."""


def _in_memory() -> Path | None:
    """Return a directory whose files are in memory, or None.

    They survive a killed broker. On a busy disk, half of a test's time is its broker's waiting for
    writes. The measurements in tests/bench need the disk.
    """
    if "PYTEST_VERSION" not in os.environ:
        return None
    try:
        return MEMORY if shutil.disk_usage(MEMORY).free > ROOM else None
    except OSError:
        return None


def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class ScriptBroker:
    """A broker run by deploy/local/broker.py. Its data and its port survive stop and kill."""

    def __init__(self, *options: str, management: bool = False) -> None:
        """`options` are passed on to the script's `run` command."""
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.data = Path(tempfile.mkdtemp(prefix="rasa-bridge-test-broker-", dir=_in_memory()))
        self._options = options
        self._management_port = free_port() if management else None
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "AMQP_URL"}
        command = [sys.executable, str(SCRIPT), "run", "--port", str(self.port)]
        command += ["--data", str(self.data), *self._options]
        if self._management_port:
            command += ["--management-port", str(self._management_port)]
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("AMQP_URL="):
            raise RuntimeError(f"no broker:\n{self._process.communicate()[1]}")

    def stop(self) -> None:
        """Shut it down gracefully, as an upgrade does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        subprocess.run([sys.executable, str(SCRIPT), "kill", "--data", str(self.data)], check=True)
        self._process.communicate(timeout=60)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def freeze(self) -> None:
        """Stop it as a hung machine does: its connections stay open."""
        os.kill(int((self.data / "pid").read_text()), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(int((self.data / "pid").read_text()), signal.SIGCONT)

    @property
    def management_url(self) -> str:
        assert self._management_port, "make_broker(management=True)"
        return f"http://127.0.0.1:{self._management_port}"

    def limit_queues(self, pattern: str, messages: int) -> None:
        """Set a policy: queues whose name matches refuse more than this number of messages."""
        url = f"{self.management_url}/api/policies/%2F/limit"
        policy = {"pattern": pattern, "apply-to": "queues", "definition": {"max-length": messages}}
        headers = {"Authorization": f"Basic {b64encode(b'guest:guest').decode()}"}
        request = Request(url, json.dumps(policy).encode(), headers, method="PUT")
        with urlopen(request, timeout=30):
            pass

    def import_definitions(self, definitions: str) -> None:
        """Import users, permissions and policies from RabbitMQ's JSON definitions."""
        self._ctl("import_definitions", "/dev/stdin", input=definitions)

    def set(self, **settings: int) -> None:
        """Change settings of the running node; they apply to new connections."""
        self.evaluate(_erlang(settings))

    def raise_memory_alarm(self) -> None:
        """Block publishers, as if memory were short."""
        self.evaluate(ALARM % "{absolute, 1}")

    def end_memory_alarm(self) -> None:
        self.evaluate(ALARM % "0.6")

    def suspend_queue(self, name: str) -> None:
        """Keep a quorum queue from answering; its messages stay."""
        self.evaluate(SUSPEND % name)

    def set_password(self, password: str) -> None:
        """Change the password of the user `guest`, and close every connection."""
        user = f'<<"guest">>, <<"{password}">>, <<"test">>'
        self.evaluate(
            f"rabbit_auth_backend_internal:change_password({user}),"
            ' rabbit_networking:close_all_connections("test").'
        )

    def evaluate(self, expression: str) -> str:
        """Evaluate Erlang on the node; return what is printed of the result.

        Raises:
            RuntimeError: the evaluation failed.
        """
        command = [sys.executable, str(SCRIPT), "evaluate", "--data", str(self.data)]
        run = subprocess.run([*command, expression], capture_output=True, text=True, timeout=60)
        if run.returncode != 0 or run.stdout.startswith("{error"):
            raise RuntimeError(f"{expression}: {run.stdout}{run.stderr}")
        return run.stdout

    def _ctl(self, *arguments: str, input: str | None = None) -> None:
        command = [sys.executable, str(SCRIPT), "ctl", "--data", str(self.data), *arguments]
        subprocess.run(command, input=input, text=True, check=True, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        if self.runs:
            self.stop()
        shutil.rmtree(self.data, ignore_errors=True)


class ContainerBroker:
    """A broker in a container. Its data and its port survive stop and kill."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        container = DockerContainer(IMAGE).with_env("RABBITMQ_NODENAME", "bridge@localhost")
        # A fixed port survives a restart. with_bind_ports would expose it to the network.
        container.ports["5672/tcp"] = ("127.0.0.1", self.port)  # type: ignore[assignment]
        self._container = container
        self._started = False

    def start(self) -> None:
        if self._started:
            self._wrapped.start()
        else:
            self._container.start()
            self._started = True
        wait_for_amqp(self.port)

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def stop(self) -> None:
        self._wrapped.stop(timeout=30)

    def kill(self) -> None:
        self._wrapped.kill()
        self._wrapped.wait()

    def limit_queues(self, pattern: str, messages: int) -> None:
        """Set a policy: queues whose name matches refuse more than this number of messages."""
        definition = json.dumps({"max-length": messages})
        command = ["rabbitmqctl", "set_policy", "--apply-to", "queues", "limit", pattern]
        done = self._wrapped.exec_run([*command, definition])
        assert done.exit_code == 0, done.output

    def import_definitions(self, definitions: str) -> None:
        """Import users, permissions and policies from RabbitMQ's JSON definitions."""
        script = 'printf %s "$DEFINITIONS" | rabbitmqctl import_definitions /dev/stdin'
        environment = {"DEFINITIONS": definitions}
        done = self._wrapped.exec_run(["sh", "-c", script], environment=environment)
        assert done.exit_code == 0, done.output

    def set(self, **settings: int) -> None:
        """Change settings of the running node; they apply to new connections."""
        self._ctl("eval", _erlang(settings))

    def raise_memory_alarm(self) -> None:
        """Block publishers, as if memory were short."""
        self._ctl("set_vm_memory_high_watermark", "absolute", "1")

    def end_memory_alarm(self) -> None:
        self._ctl("set_vm_memory_high_watermark", "0.6")

    def suspend_queue(self, name: str) -> None:
        """Keep a quorum queue from answering; its messages stay."""
        self._ctl("eval", SUSPEND % name)

    def set_password(self, password: str) -> None:
        """Change the password of the user `guest`, and close every connection."""
        self._ctl("change_password", "guest", password)
        self._ctl("close_all_connections", "test")

    def _ctl(self, *arguments: str) -> None:
        done = self._wrapped.exec_run(["rabbitmqctl", *arguments])
        assert done.exit_code == 0, done.output

    def close(self) -> None:
        if self._started:
            self._container.stop()


Broker = ScriptBroker | ContainerBroker


def make_broker(management: bool = False) -> Broker:
    """Return a broker that is not started yet. RASA_BRIDGE_BROKER_VIA forces the script.

    `management` enables the management API, which `limit_queues` needs.
    """
    forced = os.environ.get("RASA_BRIDGE_BROKER_VIA")
    return (
        ContainerBroker()
        if not forced and docker_answers()
        else ScriptBroker(management=management)
    )


ALARM = "vm_memory_monitor:set_vm_memory_high_watermark(%s)."
"""`rabbitmqctl` calls it, too."""
SUSPEND = "sys:suspend('%%2F_%s')."
"""The process of a quorum queue is registered under its virtual host and name."""


def _erlang(settings: dict[str, int]) -> str:
    return ", ".join(f"application:set_env(rabbit, {k}, {v})" for k, v in settings.items()) + "."


def wait_for_amqp(port: int, patience: float = 120) -> None:
    """Wait until the broker answers the protocol header with a method frame."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                if connection.recv(1) == b"\x01":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"no broker on port {port}")
