"""Commands that the fork server starts are like those of a new interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

import bridge
from tests.support.cli import run_bridge
from tests.support.processes import Project

SHOW = """
import os, signal, sys
# Open files: stdin, stdout, stderr, and the directory that lists them.
print(os.getcwd(), os.getsid(0) == os.getpid(), os.environ["ONLY_HERE"], "AMQP_URL" in os.environ)
print(sys.argv[1:], len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM) == 0)
raise SystemExit(7)
"""


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
