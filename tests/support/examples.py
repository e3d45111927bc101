"""A copy of an example, and the commands of its README, run as a user would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.broker import TOP, free_port
from tests.support.processes import Process

EXAMPLES = TOP / "examples"
PORTS = ("5005", "8080", "8090", "8091")
"""Ports that the examples name. Each copy has free ones in their place."""
NUMBER = r"\d+(?:\.\d+)?"


class Example:
    """A copy of `examples/<name>`; `untried` are the commands of its README not run yet."""

    def __init__(self, name: str, directory: Path, broker_url: str) -> None:
        self.directory = directory / name
        shutil.copytree(EXAMPLES / name, self.directory, ignore=shutil.ignore_patterns("__*__"))
        self.ports = {port: str(free_port()) for port in PORTS}
        for path in self.directory.iterdir():
            path.write_text(self._with_free_ports(path.read_text()))
        self._readme = (self.directory / "README.md").read_text()
        self.untried: list[str] = [
            command
            for block in re.findall(r"^```sh\n(.*?)^```$", self._readme, re.M | re.S)
            for command in block.replace("\\\n", " ").splitlines()
        ]
        self._processes: list[Process] = []
        bin = os.path.dirname(sys.executable)
        self._environment = {
            "AMQP_URL": broker_url,
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "",
            "COLUMNS": "80",
        }

    def _with_free_ports(self, text: str) -> str:
        ports = "|".join(PORTS)
        replaced: str = re.sub(rf"\b({ports})\b", lambda found: self.ports[found[0]], text)
        return replaced

    def command(self, beginning: str) -> str:
        """Return the README's first untried command that begins so, which counts as tried now."""
        command = next((c for c in self.untried if c.startswith(beginning)), None)
        assert command, f"no command {beginning!r} left: {self.untried}"
        self.untried.remove(command)
        return command

    def start(self, beginning: str) -> Process:
        """Start a command of the README."""
        return self.start_command(self.command(beginning))

    def start_command(self, command: str) -> Process:
        process = Process(
            command.split()[1], ["bash", "-c", f"exec {command}"], self.directory, self._environment
        )
        self._processes.append(process)
        return process

    def run(self, beginning: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the README to its end."""
        return subprocess.run(
            ["bash", "-c", self.command(beginning)],
            cwd=self.directory,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def check_shown(self, beginning: str, output: str) -> None:
        """Assert that `output` has each line that the README shows after a command.

        Any number stands for any number, and … for any text.
        """
        after = self._readme.partition(f"\n{beginning}")[2].partition("\n```\n")[2]
        found = re.search(r"^```\n(.*?)^```$", after, re.M | re.S)
        assert found, f"the README shows nothing after {beginning!r}"
        lines = [" ".join(line.split()) for line in output.splitlines()]
        for line in found[1].splitlines():
            texts = re.split(NUMBER, " ".join(line.split()))
            pattern = NUMBER.join(re.escape(text).replace("…", ".*") for text in texts)
            assert any(re.fullmatch(pattern, printed) for printed in lines), f"{line}\n\n{output}"

    def close(self) -> None:
        for process in reversed(self._processes):
            process.close()
