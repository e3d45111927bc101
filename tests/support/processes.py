"""Real processes of the bridge, started and stopped as a user does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.support import fork_server, logged
from tests.support.broker import TOP
from tests.support.waiting import PATIENCE, eventually


class Process:
    """A running command. `log` is its output so far."""

    def __init__(self, name: str, command: list[str], directory: Path, env: dict[str, str]) -> None:
        """Run `command`; `rasa-bridge …` and `rasa …` in a fork of the fork server."""
        self.file = directory / f"{name}.{time.monotonic_ns()}.log"
        path = f"{directory}{os.pathsep}{TOP}"
        env = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **env}
        self.popen: subprocess.Popen[bytes] | fork_server.Forked
        with self.file.open("wb") as output:
            if command[0] in fork_server.MAIN:
                self.popen = fork_server.Forked(command, directory, env, output, output)
                return
            self.popen = subprocess.Popen(
                command,
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.file.read_text(errors="replace")

    async def prints(self, text: str, count: int = 1, patience: float = PATIENCE) -> None:
        """Wait until the log contains `text` at least `count` times."""

        def printed() -> bool:
            if self.log.count(text) >= count:
                return True
            assert self.popen.poll() is None, f"ended with {self.popen.returncode}:\n{self.log}"
            return False

        try:
            await eventually(printed, f"log holds {text!r}", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    async def ends(self, patience: float = PATIENCE) -> int:
        """Wait until the process has ended; return its exit code."""
        try:
            await eventually(lambda: self.popen.poll() is not None, "it ends", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None
        return self.popen.wait()

    def freeze(self) -> None:
        """Stop it like a suspended machine does: nothing runs, connections stay open."""
        self.popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.popen.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def close(self) -> None:
        """Terminate the process, then kill it and everything that it started."""
        self.thaw()
        if self.popen.poll() is None:
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Project:
    """A user's project: endpoints.yml, credentials.yml, and the roles started there."""

    def __init__(self, directory: Path, broker_url: str, namespace: str) -> None:
        self.directory = directory
        self.broker_url = broker_url
        self.namespace = namespace
        self._processes: list[Process] = []
        self.write(
            "endpoints.yml",
            f"bridge:\n  url: {broker_url}\n  namespace: {namespace}\n"
            "  partitions: {inbound: 4, replies: 2}\n",
        )

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if name == "credentials.yml":
            logged.note_secret(yaml.safe_load(text))
        return path

    def start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.directory, env or {})
        self._processes.append(process)
        return process

    def bridge(
        self, *arguments: str, env: dict[str, str] | None = None, fork: bool = True
    ) -> Process:
        """Start `rasa-bridge …` in the project's directory, in a fork or in a new interpreter."""
        command = ["rasa-bridge"] if fork else [sys.executable, "-m", "bridge"]
        process = self.start(arguments[0], [*command, *arguments], env)
        logged.FILES.append(process.file)
        return process

    def count(self, text: str) -> int:
        """Return how often the logs of all processes hold a text."""
        return sum(process.log.count(text) for process in self._processes)

    async def webhook(self, port: int, *arguments: str) -> Process:
        """Start the webhook role and wait until it accepts messages."""
        process = self.bridge("webhook", "-i", "127.0.0.1", "-p", str(port), *arguments)
        await process.prints("ready to publish")
        await process.prints("listening on")
        if "rest:" in (self.directory / "credentials.yml").read_text():
            await process.prints("collecting replies")
        return process

    async def worker(self, *arguments: str) -> Process:
        process = self.bridge("worker", *arguments)
        await process.prints("consuming")
        return process

    async def deliver(self, *arguments: str) -> Process:
        process = self.bridge("deliver", *arguments)
        await process.prints("consuming")
        return process

    def close(self) -> None:
        for process in reversed(self._processes):
            process.close()
