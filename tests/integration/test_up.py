"""Several processes in one terminal: `up`, `worker --processes`, their logs and their end."""

from __future__ import annotations

import json
import os
import re
import signal

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.support.broker import free_port
from tests.support.cli import only_line, run_bridge, taken
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.proxy import Proxy
from tests.support.service import FakeService
from tests.support.waiting import eventually

CALLBACK = "callback:\n  url: http://127.0.0.1:1/\n"
RECORD_PIDS = """
import os, pathlib
pids = pathlib.Path("pids")
pids.mkdir(exist_ok=True)
(pids / str(os.getpid())).touch()
"""
"""A sitecustomize module: every Python process of the project records its id."""


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project that records the id of every Python process started in it."""
    project.write("sitecustomize.py", RECORD_PIDS)
    project.write("echo.py", ECHO)
    project.write("credentials.yml", "rest:\n" + CALLBACK)
    return project


def start(project: Project, *arguments: str) -> Process:
    """Start `rasa-bridge …` in a new interpreter, which runs sitecustomize."""
    return project.bridge(*arguments, fork=False)


def use_broker(project: Project, url: str) -> None:
    text = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", re.sub("url: .*", f"url: {url}", text))


def pids(project: Project) -> set[int]:
    return {int(path.name) for path in (project.directory / "pids").glob("*")}


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def prints(process: Process, pattern: str) -> None:
    await eventually(lambda: re.search(pattern, process.log, re.M), f"{pattern} in {process.log}")


async def test_up_starts_every_role_and_one_ctrl_c_stops_them_all(
    recorded: Project, port: int
) -> None:
    up = start(recorded, "up", "-i", "127.0.0.1", "-p", str(port), "--handler", "echo:handle")
    await prints(up, r"^webhook │ .*ready to publish")
    await prints(up, r"^webhook │ .*collecting replies")
    await prints(up, r"^webhook │ .*listening on")
    await prints(up, r"^worker  │ .*consuming 4 partitions")
    await prints(up, r"^deliver │ .*consuming 2 partitions")
    await prints(up, r"^\S+ INFO    up\[\d+\]: ready after \d+ s, try: curl ")
    assert f"curl localhost:{port}/webhooks/rest/webhook -d " in up.log
    assert up.log.index("listening on") < up.log.index("ready after")
    # No request waits for a worker that is not ready yet.
    assert up.log.index("consuming 4 partitions") < up.log.index("listening on")
    url = f"http://127.0.0.1:{port}/webhooks/rest/webhook"
    body = {"sender": "anna", "message": "hello"}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        assert await answer.json() == [{"recipient_id": "anna", "text": "hello"}]
    assert len(pids(recorded)) == 4
    up.popen.send_signal(signal.SIGINT)
    assert await up.ends() == 0, up.log
    assert not [pid for pid in pids(recorded) if runs(pid)]
    for role in ("webhook", "worker ", "deliver"):
        assert re.search(rf"^{role} │ .*stopped$", up.log, re.M), up.log
    assert "Traceback" not in up.log


async def test_json_log_lines_of_all_roles_share_the_ids_of_their_message(
    recorded: Project, service: FakeService, port: int
) -> None:
    recorded.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    service.answer = lambda _: web.json_response({}, status=200 if len(service.calls) > 1 else 500)
    up = start(
        recorded,
        *("up", "--log-format", "json", "-i", "127.0.0.1", "-p", str(port)),
        *("--handler", "echo:handle"),
    )
    await up.prints("listening on")
    await up.prints("consuming", count=2)
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
    body = {"sender": "anna", "message": "hello", "message_id": "e1"}
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    async with aiohttp.ClientSession() as session:
        await session.post(url, json=body, headers=headers)
    await up.prints("next attempt in")
    up.terminate()
    assert await up.ends() == 0, up.log
    lines = [json.loads(line) for line in up.log.splitlines()]
    said = {line["message"].partition(" ")[0]: line for line in lines if "inbound" in line}
    assert {what: line["role"] for what, line in said.items()} == {
        "enqueued": "webhook",
        "turn": "worker",
        "attempt": "deliver",
    }
    for line in said.values():
        assert (line["inbound"], line["channel"]) == ("e1", "callback")
        assert line["trace_id"] == "ab" * 16
    assert said["enqueued"]["partition"] == said["turn"]["partition"]
    assert (said["turn"]["attempt"], said["attempt"]["attempt"]) == (1, 1)
    assert said["attempt"]["reply"] == "e1:0"
    assert len({line["process"] for line in lines}) == 4  # `up` says when all are ready


@pytest.mark.parametrize(
    ("option", "more"), [("--port", ()), ("--monitor-port", ("-p", "1")), ("--metrics-port", ())]
)
async def test_up_says_at_once_that_a_port_is_taken(
    recorded: Project, port: int, option: str, more: tuple[str, ...]
) -> None:
    with taken(port):
        line = ("up", "-i", "127.0.0.1", option, str(port), "--handler", "echo:handle", *more)
        problem = only_line(run_bridge(recorded.directory, *line), 2)
    assert problem.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use; ")
    assert option in problem


async def test_up_ends_with_the_cause_when_the_settings_of_a_role_are_wrong(
    recorded: Project, port: int
) -> None:
    up = start(recorded, "up", "-i", "127.0.0.1", "-p", str(port), "--handler", "echo:nothing")
    assert await up.ends() == 2
    last = up.log.splitlines()[-1]
    why = "stopped: worker ended with code 2: --handler echo:nothing: echo has no 'nothing'"
    assert last.endswith(why)
    assert not [pid for pid in pids(recorded) if runs(pid)]


async def test_up_waits_for_the_broker_and_says_so_once(recorded: Project, port: int) -> None:
    nowhere = free_port()
    use_broker(recorded, f"amqp://127.0.0.1:{nowhere}/")
    up = start(recorded, "up", "-i", "127.0.0.1", "-p", str(port), "--handler", "echo:handle")
    await prints(up, "waiting for the broker: .*Connection refused; start it, or fix bridge.url$")
    proxy = Proxy(URL(recorded.broker_url).port or 5672)
    await proxy.start(nowhere)
    try:
        await up.prints("ready after")
    finally:
        await proxy.stop()
    assert up.log.count("waiting for the broker") == 1
    assert len(pids(recorded)) == 4


async def test_up_stops_while_it_waits_for_the_broker(recorded: Project) -> None:
    use_broker(recorded, f"amqp://127.0.0.1:{free_port()}/")
    up = start(recorded, "up", "--handler", "echo:handle")
    await up.prints("waiting for the broker")
    up.popen.send_signal(signal.SIGINT)
    assert await up.ends() == 0, up.log
    assert up.log.count("\n") == 1, up.log


async def test_up_does_not_wait_for_a_broker_that_refuses_it(recorded: Project, port: int) -> None:
    own = URL(recorded.broker_url)
    for wrong, says in (
        (own.with_password("wrong"), "login refused; fix the user and password in bridge.url"),
        (own.with_path("/nowhere"), "cannot open the virtual host 'nowhere'; create it"),
    ):
        use_broker(recorded, str(wrong))
        line = ("up", "-i", "127.0.0.1", "-p", str(port), "--handler", "echo:handle")
        assert says in only_line(run_bridge(recorded.directory, *line), 2)


async def test_up_stopped_before_its_roles_are_ready_exits_with_0(recorded: Project) -> None:
    up = start(recorded, "up", "--handler", "echo:handle")
    await eventually(lambda: len(pids(recorded)) == 4)
    up.terminate()
    assert await up.ends() == 0, up.log
    assert not [pid for pid in pids(recorded) if runs(pid)]


async def test_a_very_long_log_line_does_not_stop_a_role(recorded: Project) -> None:
    shout = "    print('x' * 3_000_000)\n"
    recorded.write("echo.py", ECHO.replace("    await", shout + "    await"))
    worker = start(recorded, "worker", "--processes", "2", "--handler", "echo:handle")
    await worker.prints("consuming 4 partitions", count=2)
    for text in ("one", "two"):
        assert (
            f'"text": "{text}"'
            in run_bridge(recorded.directory, "send", text, "--timeout", "30").stdout
        )
    await worker.prints("was omitted")


async def test_a_killed_worker_process_is_restarted_and_sigterm_stops_all(
    recorded: Project,
) -> None:
    worker = start(recorded, "worker", "--processes", "2", "--handler", "echo:handle")
    await prints(worker, r"^worker\.1 │ .*consuming 4 partitions")
    await prints(worker, r"^worker\.2 │ .*consuming 4 partitions")
    first = pids(recorded)
    assert len(first) == 3
    killed = max(first - {worker.popen.pid})
    os.kill(killed, signal.SIGKILL)
    await prints(worker, r"worker\.[12] ended with code -9; restarting in \d")
    await worker.prints("consuming 4 partitions", count=3)
    assert len(pids(recorded) - first) == 1
    assert not runs(killed)
    worker.terminate()
    assert await worker.ends() == 0, worker.log
    assert not [pid for pid in pids(recorded) if runs(pid)]
