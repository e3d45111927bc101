"""Users' files with the names of our packages or the standard library's: ours must still run."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import Process, Project

RASA_BRIDGE = str(Path(sys.executable).with_name("rasa-bridge"))
"""The installed command, as a user runs it."""

BOT = """
async def handle(message, output):
    await output.send_text_message(message.sender_id, message.text)
"""

POOL_BOT = """
import asyncio, multiprocessing, os
from concurrent.futures import ProcessPoolExecutor

def reverse(text):
    import bridge.messages, worker.output_channel
    return f"{text[::-1]} {os.getpid()}"

async def handle(message, output):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(pool, reverse, message.text)
    assert text != f"{message.text[::-1]} {os.getpid()}"
    await output.send_text_message(message.sender_id, text.partition(" ")[0])
"""

SHOP = """
from bridge import Connector

class Shop(Connector):
    name = "shop"

    def parse(self, request):
        return []

    async def deliver(self, reply, http):
        return None
"""

FOLDERS = {
    "modules": [
        *("bridge.py", "worker.py", "__main__.py", "cli.py", "messages.py", "settings.py"),
        *("http.py", "logging.py", "queue.py", "types.py"),  # the standard library's
    ],
    "packages": ["bridge/__init__.py", "worker/__init__.py", "connectors/__init__.py"],
}


@pytest.fixture(params=list(FOLDERS.values()), ids=list(FOLDERS))
def crowded(project: Project, request: pytest.FixtureRequest) -> Project:
    """A project with files whose names could shadow others; each ends a process that runs it."""
    for name in request.param:
        project.write(name, f"raise SystemExit('ran the file of a user: {name}')\n")
    project.write("bot.py", BOT)
    project.write("shop.py", SHOP)
    project.write("credentials.yml", "rest:\nshop.Shop:\n")
    return project


def start(project: Project, *arguments: str, **environment: str) -> Process:
    command = [RASA_BRIDGE, *arguments]
    return project.start(arguments[0], command, {"PYTHONPATH": "", **environment})


def run(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RASA_BRIDGE, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


async def stops_cleanly(process: Process, number: signal.Signals = signal.SIGTERM) -> None:
    process.popen.send_signal(number)
    assert await process.ends() == 0, process.log
    assert "restarting" not in process.log
    assert "file of a user" not in process.log


async def test_up_runs_our_code_and_imports_the_users_connector_and_handler(
    crowded: Project, port: int
) -> None:
    up = start(crowded, *("up", "-i", "127.0.0.1", "-p", str(port), "--handler", "bot:handle"))
    await up.prints("collecting replies")
    await up.prints("listening on")
    await up.prints("consuming", count=2)
    url = f"http://127.0.0.1:{port}/webhooks"
    body = {"sender": "anna", "message": "hello"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/rest/webhook", json=body) as answer:
            assert await answer.json() == [{"recipient_id": "anna", "text": "hello"}]
        async with session.get(f"{url}/shop/") as answer:
            assert answer.status == 200
    await stops_cleanly(up, signal.SIGINT)


async def test_worker_processes_run_our_code(crowded: Project) -> None:
    worker = start(crowded, "worker", "--processes", "2", "--handler", "bot:handle")
    await worker.prints("consuming 4 partitions", count=2)
    sent = run(crowded.directory, "send", "hello")
    assert '"text": "hello"' in sent.stdout, sent.stderr
    await stops_cleanly(worker)


async def test_a_handler_may_spawn_processes(project: Project) -> None:
    for name in ("bridge.py", "worker.py"):
        project.write(name, "raise SystemExit('ran the file of a user')\n")
    project.write("bot.py", POOL_BOT)
    worker = start(project, "worker", "--processes", "2", "--handler", "bot:handle")
    await worker.prints("consuming 4 partitions", count=2)
    sent = run(project.directory, "send", "hello", "--timeout", "30")
    assert '"text": "olleh"' in sent.stdout, sent.stderr + worker.log
    await stops_cleanly(worker)


async def test_a_worker_py_on_pythonpath_is_not_run(project: Project) -> None:
    project.write("worker.py", "raise SystemExit('ran the file of a user')\n")
    project.write("bot.py", BOT)
    path = str(project.directory)
    worker = start(
        project, "worker", "--processes", "2", "--handler", "bot:handle", PYTHONPATH=path
    )
    await worker.prints("consuming 4 partitions", count=2)
    await stops_cleanly(worker)


async def test_a_safe_path_changes_nothing(project: Project) -> None:
    project.write("bot.py", BOT)
    worker = start(
        project, "worker", "--processes", "2", "--handler", "bot:handle", PYTHONSAFEPATH="1"
    )
    await worker.prints("consuming 4 partitions", count=2)
    await stops_cleanly(worker)


@pytest.mark.parametrize(
    ("file", "handler", "theirs"),
    [
        ("worker.py", "worker:handle", "worker.py"),
        ("bridge.py", "bridge:handle", "bridge.py"),
        ("worker/bot.py", "worker.bot:handle", "worker/"),
    ],
)
def test_a_handler_in_a_module_with_the_name_of_our_package_is_explained(
    file: str, handler: str, theirs: str, project: Project
) -> None:
    project.write(file, BOT)
    ran = run(project.directory, "worker", "--quiet", "--handler", handler)
    name = handler.partition(":")[0].partition(".")[0]
    assert (ran.returncode, ran.stderr) == (
        2,
        f"rasa-bridge: --handler {handler}: '{name}' is a package of rasa-channel-bridge, which"
        f" hides your {theirs}; rename {theirs}, for example to my_{theirs}\n",
    )


def test_a_handler_that_imports_such_a_module_is_explained(project: Project) -> None:
    project.write("worker.py", "answer = 42\n")
    project.write("bot.py", f"from worker import answer\n{BOT}")
    ran = run(project.directory, "worker", "--quiet", "--handler", "bot:handle")
    assert ran.returncode == 2
    assert "--handler bot:handle: 'worker' is a package of rasa-channel-bridge" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_channel_in_a_module_with_the_name_of_our_package_is_explained(tmp_path: Path) -> None:
    (tmp_path / "bridge.py").write_text(SHOP)
    (tmp_path / "credentials.yml").write_text("bridge.Shop:\n")
    ran = run(tmp_path, "webhook")
    assert (ran.returncode, ran.stderr) == (
        2,
        "rasa-bridge: credentials.yml: bridge.Shop: 'bridge' is a package of rasa-channel-bridge,"
        " which hides your bridge.py; rename bridge.py, for example to my_bridge.py\n",
    )
