"""A private Redis for tests, from Debian's redis-server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from tests.support.broker import free_port
from tests.support.waiting import eventually

SERVER = shutil.which("redis-server")
MISSING = "redis-server is missing; run: deploy/local/setup redis"


class Redis:
    """A Redis without files; a restart forgets everything."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = self._launch()
        await eventually(self._answers, "redis answers")

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [str(SERVER), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self._directory), "--daemonize", "no"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
