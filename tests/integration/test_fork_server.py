"""Commands that the fork server starts are like those of a new interpreter."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import bridge
from tests.support.broker import TOP
from tests.support.cli import run_bridge
from tests.support.processes import Project

SHOW = """
import os, signal, sys
# Open files: stdin, stdout, stderr, and the directory that lists them.
print(os.getcwd(), os.getsid(0) == os.getpid(), os.environ["ONLY_HERE"], "AMQP_URL" in os.environ)
print(sys.argv[1:], len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM) == 0)
raise SystemExit(7)
"""

CLIENT = """
import sys
from pathlib import Path
from tests.support.cli import run_bridge
print(run_bridge(Path(sys.argv[1]), "channels").returncode, flush=True)
sys.stdin.read()
"""
PARENT = "import os\nraise SystemExit(os.getppid() % 251)\n"


def test_output_and_exit_code_are_those_of_the_command(tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, "--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"rasa-bridge, version {bridge.__version__}\n"
    ran = run_bridge(tmp_path, "nothing")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "No such command 'nothing'" in ran.stderr


def test_directory_environment_and_session_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "credentials.yml").write_text("show.Channel:\n")
    ran = run_bridge(tmp_path, "channels", env={"ONLY_HERE": "here"})
    assert ran.returncode == 7
    assert ran.stdout.splitlines() == [
        f"{tmp_path} True here False",
        "['channels'] 4 True",
    ]
    assert "ONLY_HERE" not in os.environ


async def test_a_killed_command_has_the_signal_as_its_exit_code(project: Project) -> None:
    project.write("nothing.py", "async def handle(message, output): pass\n")
    for number in (signal.SIGKILL, signal.SIGTERM):
        worker = await project.worker("--handler", "nothing:handle")
        assert worker.popen.poll() is None
        worker.popen.send_signal(number)
        assert await worker.ends() == (-9 if number == signal.SIGKILL else 0)
        assert worker.popen.wait() == worker.popen.returncode


async def test_waiting_for_a_running_command_times_out(project: Project) -> None:
    project.write("nothing.py", "async def handle(message, output): pass\n")
    worker = await project.worker("--handler", "nothing:handle")
    with pytest.raises(subprocess.TimeoutExpired):
        worker.popen.wait(0.01)


def test_processes_of_a_run_share_a_server_which_ends_with_the_last_of_them(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "credentials.yml").write_text("parent.Channel:\n")
    run = secrets.token_hex(8)
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(tmp_path)],
            cwd=TOP,
            env={**os.environ, "PYTEST_XDIST_TESTRUNUID": run},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    answers = [client.stdout and client.stdout.readline() for client in clients]
    assert len({*answers}) == 1, "the parent of both commands is the same server"
    assert sorted(path.suffix for path in left(run)) == ["", ".lock"]
    for client in clients:
        assert client.stdin is not None
        client.stdin.close()
    # The client that started the server waits for its end.
    for client in clients:
        with client:
            assert client.wait(60) == 0
    assert not left(run)


def left(run: str) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"rasa-bridge-{run}*"))
