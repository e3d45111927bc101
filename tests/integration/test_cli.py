"""The command line as a user sees it: real processes, a real broker, exit codes and messages."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bridge.broker.connection import connect
from bridge.broker.topology import Topology, partition_of
from bridge.cli import COMMANDS
from bridge.messages import Delivery
from tests.support.cli import run_bridge
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
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


def only_line(ran: subprocess.CompletedProcess[str], code: int) -> str:
    """Check the exit code of a failed command; return the one line that it printed."""
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stderr.startswith("rasa-bridge: "), ran.stderr
    return ran.stderr.removeprefix("rasa-bridge: ").strip()


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


# ---- help ----------------------------------------------------------------------------------------

HELPS = [
    [],
    *([name] for name in COMMANDS),
    *(["dead", name] for name in ("list", "show", "replay", "purge")),
    *(["topology", name] for name in ("declare", "check", "delete", "resize")),
]


@pytest.mark.parametrize("command", HELPS, ids=lambda command: " ".join(command) or "rasa-bridge")
def test_help_fits_80_columns_and_exits_with_0(command: list[str], tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, *command, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"Usage: {' '.join(['rasa-bridge', *command])} ")
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_the_main_help_lists_every_command(tmp_path: Path) -> None:
    text = run_bridge(tmp_path, "--help").stdout
    commands = text.partition("Commands:")[2]
    assert re.findall(r"^  ([a-z-]+) {2,}\S", commands, re.M) == list(COMMANDS)


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, "wbhook")
    assert ran.returncode == 2
    assert "wbhook" in ran.stderr


# ---- wrong settings files ------------------------------------------------------------------------

WRONG_CREDENTIALS = {
    "an unknown channel names the nearest known one": (
        "calback:\n  url: http://h/\n",
        "credentials.yml: calback: unknown channel 'calback'; did you mean 'callback'?",
    ),
    "a channel like no other names the known ones": (
        "gopher:\n",
        "credentials.yml: gopher: unknown channel 'gopher'; known channels: botframework, ",
    ),
    "an unknown key names the nearest known one": (
        "rest:\n  timout: 3\n",
        "credentials.yml: rest: unknown key 'timout'; did you mean 'timeout'?",
    ),
    "a missing key is named": (
        "callback:\n",
        "credentials.yml: callback: key 'url' is missing",
    ),
    "a missing key of a mapping is named": (
        CALLBACK + "  basic_auth: {username: x}\n",
        "credentials.yml: callback: key 'password' is missing",
    ),
    "a wrong type says what it must be": (
        "rest:\n  timeout: soon\n",
        "credentials.yml: rest: key 'timeout' must be a number, not a text",
    ),
    "a number where a text belongs gets quotes": (
        CALLBACK + "  token: 12345\n",
        "credentials.yml: callback: key 'token' must be a text or nothing,"
        " not a whole number; put it in quotes",
    ),
    "a rate limit must be a number": (
        CALLBACK + "  rate_limit: fast\n",
        "credentials.yml: callback: key 'rate_limit' must be a number of calls per second, above 0",
    ),
    "an unset variable is named": (
        "callback:\n  url: ${CALLBACK_URL_THAT_IS_NOT_SET}\n",
        "credentials.yml: callback: url: the environment variable CALLBACK_URL_THAT_IS_NOT_SET"
        " is not set; export CALLBACK_URL_THAT_IS_NOT_SET",
    ),
    "invalid YAML has its line": (
        "rest:\ncallback:\n  url: 'http://h\n",
        "credentials.yml, line 4: not valid YAML: ",
    ),
    "a section that is no mapping": (
        "rest: 5\n",
        "credentials.yml: rest: it must be a section with keys, or empty",
    ),
    "a file that is a list": ("- rest\n", "credentials.yml: it must be a mapping"),
    "an empty file": ("", "credentials.yml: it names no channel; add one, such as 'rest:'"),
    "a module that is not there": (
        "nowhere.Channel:\n",
        "credentials.yml: nowhere.Channel: module 'nowhere' cannot be imported (No module named"
        " 'nowhere'); start in the module's directory, or install the module",
    ),
    "a module that fails says where": (
        "broken.Channel:\n",
        "credentials.yml: broken.Channel: module 'broken' cannot be imported:"
        " ZeroDivisionError: division by zero (broken.py:2)",
    ),
    "a class that is not there": (
        "pathlib.Channel:\n",
        "credentials.yml: pathlib.Channel: module 'pathlib' has no class 'Channel'",
    ),
    "a class that is no channel": (
        "pathlib.Path:\n",
        "credentials.yml: pathlib.Path: it is neither a bridge.Connector nor a Rasa InputChannel",
    ),
}


@pytest.mark.parametrize(
    ("credentials", "message"), WRONG_CREDENTIALS.values(), ids=WRONG_CREDENTIALS
)
def test_wrong_credentials_are_one_line_and_exit_code_2(
    credentials: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("\n1 / 0\n")
    (tmp_path / "credentials.yml").write_text(credentials)
    assert only_line(run_bridge(tmp_path, "webhook"), 2).startswith(message)


WRONG_ENDPOINTS = {
    "an unknown key names the nearest known one": (
        "bridge:\n  namspace: x\n",
        "endpoints.yml: bridge: unknown key 'namspace'; did you mean 'namespace'?",
    ),
    "an unknown key of partitions": (
        "bridge:\n  partitions: {inbund: 4}\n",
        "endpoints.yml: bridge: unknown key 'inbund'; did you mean 'inbound'?",
    ),
    "a misspelt section": (
        "brigde:\n  namespace: x\n",
        "endpoints.yml: unknown section 'brigde'; did you mean 'bridge'?",
    ),
    "a section that is no mapping": (
        "bridge: amqp://h/\n",
        "endpoints.yml: bridge: it must be a section with keys, such as 'url: …'",
    ),
    "a wrong type": (
        "bridge:\n  partitions: {inbound: many}\n",
        "endpoints.yml: bridge: key 'partitions.inbound' must be a whole number, not a text",
    ),
    "too many partitions": (
        "bridge:\n  partitions: {inbound: 100}\n",
        "endpoints.yml: bridge: key 'partitions.inbound' must be a number from 1 to 99",
    ),
    "a namespace with a blank": (
        "bridge:\n  namespace: a b\n",
        "endpoints.yml: bridge: key 'namespace': use only letters, digits",
    ),
    "a URL of another kind": (
        "bridge:\n  url: http://h/\n",
        "endpoints.yml: bridge: key 'url' is not an AMQP URL; write it as amqp://",
    ),
    "a URL with a raw slash in its password": (
        "bridge:\n  url: amqp://u:p/w@h/\n",
        "endpoints.yml: bridge: key 'url' is not an AMQP URL; write it as amqp://",
    ),
    "an unset variable": (
        "bridge:\n  url: ${BROKER_URL_THAT_IS_NOT_SET}\n",
        "endpoints.yml: bridge: url: the environment variable BROKER_URL_THAT_IS_NOT_SET is not",
    ),
    "invalid YAML has its line": (
        "bridge:\n  url: [\n",
        "endpoints.yml, line 3: not valid YAML: ",
    ),
}


@pytest.mark.parametrize(("endpoints", "message"), WRONG_ENDPOINTS.values(), ids=WRONG_ENDPOINTS)
def test_wrong_endpoints_are_one_line_and_exit_code_2(
    endpoints: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "endpoints.yml").write_text(endpoints)
    ran = run_bridge(tmp_path, "worker", "--handler", "echo:handle")
    assert only_line(ran, 2).startswith(message)


def test_an_unset_variable_that_only_rasa_needs_does_not_stop_the_bridge(project: Project) -> None:
    text = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", text + "tracker_store:\n  db: ${NOT_SET_ANYWHERE}\n")
    project.write("credentials.yml", "rest:\n")
    assert run_bridge(project.directory, "topology", "declare").returncode == 0


def test_numbers_may_come_from_the_environment(project: Project) -> None:
    text = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", text.replace("{inbound: 4, replies: 2}", "\n    inbound: ${N}"))
    project.write("credentials.yml", "rest:\n")
    ran = run_bridge(project.directory, "topology", "declare", env={"N": "3"})
    assert f"declared: 5 exchanges and 5 queues of '{project.namespace}'" in ran.stdout


def test_a_wrong_amqp_url_in_the_environment_is_named_as_such(tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, "send", "x", env={"AMQP_URL": "localhost:5672"})
    assert "the environment variable AMQP_URL is not an AMQP URL; write it as" in only_line(ran, 2)


@pytest.mark.parametrize("option", ["--credentials", "--endpoints"])
def test_a_missing_file_named_on_the_command_line_is_one_line(option: str, tmp_path: Path) -> None:
    (tmp_path / "credentials.yml").write_text("rest:\n")
    ran = run_bridge(tmp_path, "webhook", option, "nowhere.yml")
    assert only_line(ran, 2) == "nowhere.yml: no such file"


def test_without_a_credentials_file_the_message_says_how_to_create_one(tmp_path: Path) -> None:
    line = only_line(run_bridge(tmp_path, "up"), 2)
    assert line.startswith("credentials.yml: no such file")
    assert "'rest:'" in line


def test_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path, port: int) -> None:
    (tmp_path / "credentials.yml").write_text("rest:\n")
    with taken(port):
        ran = run_bridge(tmp_path, "webhook", "-i", "127.0.0.1", "-p", str(port))
    line = only_line(ran, 2)
    assert line.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert line.endswith("choose another address with --port or --interface")


def test_an_invalid_port_is_refused(tmp_path: Path) -> None:
    (tmp_path / "credentials.yml").write_text("rest:\n")
    ran = run_bridge(tmp_path, "webhook", "-p", "99999")
    assert ran.returncode == 2
    assert "99999 is not in the range 1<=x<=65535" in ran.stderr


# ---- settings of the worker ----------------------------------------------------------------------

WRONG_HANDLERS = {
    "echo": "write it as module:function",
    "nowhere:handle": "cannot be imported: No module named 'nowhere'",
    "echo:hndle": "echo has no 'hndle'",
    "sync:handle": "it must be 'async def handle(message, output)'",
    "broken:handle": "ZeroDivisionError: division by zero (broken.py:2)",
    "syntax:handle": "SyntaxError: ",
}


@pytest.mark.parametrize(("handler", "message"), WRONG_HANDLERS.items(), ids=WRONG_HANDLERS)
def test_a_wrong_handler_is_one_line(handler: str, message: str, project: Project) -> None:
    project.write("echo.py", ECHO)
    project.write("sync.py", ECHO.replace("async ", "").replace("await ", ""))
    project.write("broken.py", "\n1 / 0\n")
    project.write("syntax.py", "def :\n")
    ran = run_bridge(project.directory, "worker", "--quiet", "--handler", handler)
    assert only_line(ran, 2).startswith(f"--handler {handler}: {message}")


def test_a_worker_without_a_model_says_what_to_do(project: Project) -> None:
    ran = run_bridge(project.directory, "worker", "--quiet")
    line = only_line(ran, 2)
    assert "rasa train" in line if find_spec("rasa") else "--handler or --rasa-url" in line


# ---- channels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "code"), [([], 0), (["--strict"], 1), (["--json"], 0)])
def test_channels_shows_the_authentication_without_a_broker_and_without_secrets(
    option: list[str], code: int, tmp_path: Path
) -> None:
    text = "telegram:\n  access_token: 1:hush\nslack:\n  slack_token: xoxb-hush\n"
    (tmp_path / "credentials.yml").write_text(f"{text}  slack_signing_secret: hush\n")
    ran = run_bridge(tmp_path, "channels", *option)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert "/webhooks/telegram/webhook" in ran.stdout
    assert "telegram: key 'secret_token' is missing" in ran.stdout or option == ["--json"]
    assert "hush" not in ran.stdout


# ---- topology ------------------------------------------------------------------------------------


@pytest.fixture
def channels(project: Project) -> Project:
    project.write("credentials.yml", "rest:\n" + CALLBACK)
    return project


def topology(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_bridge(project.directory, "topology", *arguments)


def test_topology_declare_creates_what_check_misses_and_delete_removes_it(
    channels: Project,
) -> None:
    what = f"5 exchanges and 8 queues of '{channels.namespace}' at amqp://guest@"
    line = only_line(topology(channels, "check"), 1)
    assert "NOT_FOUND" in line
    assert channels.namespace in line
    assert line.endswith("declare it: rasa-bridge topology declare")
    for command, done in (("declare", "declared"), ("declare", "declared"), ("check", "found")):
        ran = topology(channels, command)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith(f"{done}: {what}")
    ran = topology(channels, "delete", "--yes")
    assert (ran.returncode, ran.stdout.partition(":")[0]) == (0, "deleted")
    assert "NOT_FOUND" in only_line(topology(channels, "check"), 1)


async def test_a_queue_with_different_arguments_is_named_with_the_argument(
    channels: Project,
) -> None:
    ours = Topology(channels.namespace, inbound_partitions=4)
    queue = ours.inbound_queues()[2]
    other = replace(queue, arguments={**queue.arguments, "x-delivery-limit": 7})
    async with connect(channels.broker_url, "test") as connection:
        await connection.declare(ours.exchanges, [other], passive=False)
    line = only_line(topology(channels, "declare"), 1)
    assert f"'x-delivery-limit' for queue '{queue.name}'" in line
    assert line.endswith("rasa-bridge topology delete")


@pytest.mark.parametrize("command", ["declare", "check"])
def test_surplus_partitions_are_refused(command: str, channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    text = (channels.directory / "endpoints.yml").read_text()
    channels.write("endpoints.yml", text.replace("inbound: 4", "inbound: 3"))
    line = only_line(topology(channels, command), 1)
    assert line.startswith(f"queue {channels.namespace}.inbound.03 exists")
    assert "give every process the same bridge.partitions" in line


async def test_delete_keeps_a_queue_that_holds_messages_unless_forced(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    ours = Topology(channels.namespace, inbound_partitions=4)
    queue = ours.inbound_queue(partition_of("anna", 4))
    ran = run_bridge(channels.directory, "send", "x", "--sender=anna", "--timeout=0.1")
    assert ran.stdout.startswith("acknowledged in ")

    async def waiting() -> int | None:
        async with connect(channels.broker_url, "test") as connection:
            return await connection.ready_messages(queue)

    await eventually(waiting)
    ran = topology(channels, "delete", "--yes")
    assert ran.returncode == 1
    assert ran.stdout == f"kept because it holds messages: {queue}\n"
    assert await waiting() == 1
    assert topology(channels, "delete", "--yes", "--force").returncode == 0
    assert await waiting() is None


async def test_delete_is_refused_while_a_queue_has_a_consumer(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    ours = Topology(channels.namespace, inbound_partitions=4)
    queue = ours.inbound_queue(partition_of("anna", 4))
    run_bridge(channels.directory, "send", "x", "--sender=anna", "--timeout=0.1")
    held: list[Delivery] = []
    async with connect(channels.broker_url, "test") as connection:
        reading = await connection.consumer_channel(1)
        await reading.consume(queue, held.append)
        await eventually(lambda: bool(held))
        assert await connection.ready_messages(queue) == 0
        line = only_line(topology(channels, "delete", "--yes"), 1)
        assert line == f"{queue} is being consumed; stop the roles first"
        assert topology(channels, "check").returncode == 0
        await reading.close()
    assert "kept because it holds messages" in topology(channels, "delete", "--yes").stdout


def test_delete_asks_for_confirmation_and_does_nothing_without_it(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    ran = topology(channels, "delete")
    assert ran.returncode == 1
    assert f"Delete all empty queues of '{channels.namespace}'" in ran.stdout
    assert topology(channels, "check").returncode == 0


@pytest.mark.parametrize("command", ["declare", "check"])
def test_topology_without_a_broker_is_one_line(command: str, channels: Project, port: int) -> None:
    channels.write("endpoints.yml", f"bridge: {{url: 'amqp://u:s3kr1t@127.0.0.1:{port}/'}}\n")
    line = only_line(topology(channels, command), 1)
    assert line.startswith(f"no broker: amqp://u@127.0.0.1:{port}/: ")
    assert line.endswith("start it, or fix bridge.url")


def test_a_missing_virtual_host_is_one_line_with_the_fix(channels: Project) -> None:
    text = (channels.directory / "endpoints.yml").read_text()
    channels.write("endpoints.yml", text.replace(channels.broker_url, f"{channels.broker_url}nope"))
    line = only_line(topology(channels, "check"), 1)
    assert "/nope: this user cannot open the virtual host 'nope'; create it" in line
    assert "OpenOk" not in line


# ---- send ----------------------------------------------------------------------------------------


def send(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_bridge(project.directory, "send", *arguments)


async def test_send_prints_each_reply_of_a_running_worker(project: Project) -> None:
    project.write("echo.py", ECHO)
    await project.worker("--handler", "echo:handle")
    ran = send(project, "grüß dich", "--metadata", '{"plan": "gold"}')
    assert (ran.returncode, ran.stderr) == (0, "")
    acknowledged, reply = ran.stdout.splitlines()
    assert re.fullmatch(r"acknowledged in \d+\.\d ms", acknowledged)
    assert re.fullmatch(r' *\d+\.\d{3} s  \{"text": "grüß dich"\}', reply)


async def test_send_passes_metadata_and_sender_to_the_turn(project: Project) -> None:
    answer = "f'{message.sender_id} {message.metadata}'"
    project.write("echo.py", ECHO.replace("message.text", answer))
    await project.worker("--handler", "echo:handle")
    ran = send(project, "x", "--sender", "anna", "--metadata", '{"plan": "gold"}')
    assert "anna {'plan': 'gold'}" in ran.stdout


async def test_send_says_when_the_turn_has_no_reply(project: Project) -> None:
    project.write("mute.py", "async def handle(message, output): pass\n")
    await project.worker("--handler", "mute:handle")
    assert send(project, "x").stdout.endswith("\nthe turn ended without a reply\n")


def test_send_without_a_broker_is_one_line(project: Project, port: int) -> None:
    project.write("endpoints.yml", f"bridge: {{url: 'amqp://u:s3kr1t@127.0.0.1:{port}/'}}\n")
    line = only_line(send(project, "x"), 1)
    assert line.startswith(f"no broker: amqp://u@127.0.0.1:{port}/: ")
    assert line.endswith("start it, or fix bridge.url")


def test_send_to_a_broker_with_different_partitions_is_one_line(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    text = (channels.directory / "endpoints.yml").read_text()
    channels.write("endpoints.yml", text.replace("inbound: 4", "inbound: 3"))
    assert "give every process the same bridge.partitions" in only_line(send(channels, "x"), 1)


def test_send_without_a_worker_says_so_after_its_timeout(project: Project) -> None:
    ran = send(project, "x", "--timeout", "0.2")
    assert ran.returncode == 1
    assert ran.stdout.startswith("acknowledged in ")
    assert ran.stderr == (
        "rasa-bridge: accepted, but not answered within 0.2 s; the turn still completes;"
        " check that a worker is running\n"
    )


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{plan: gold}", "--metadata is not valid JSON: "),
        ("[1]", "--metadata must be a JSON object"),
    ],
)
def test_send_with_wrong_metadata_is_one_line(
    metadata: str, message: str, project: Project
) -> None:
    assert only_line(send(project, "x", "--metadata", metadata), 2).startswith(message)


# ---- several processes ---------------------------------------------------------------------------


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project that records the id of every Python process started in it."""
    project.write("sitecustomize.py", RECORD_PIDS)
    project.write("echo.py", ECHO)
    project.write("credentials.yml", "rest:\n" + CALLBACK)
    return project


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
    up = recorded.bridge("up", "-i", "127.0.0.1", "-p", str(port), "--handler", "echo:handle")
    await prints(up, r"^webhook │ .*ready to publish")
    await prints(up, r"^webhook │ .*collecting replies")
    await prints(up, r"^webhook │ .*listening on")
    await prints(up, r"^worker  │ .*consuming 4 queues")
    await prints(up, r"^deliver │ .*consuming 2 queues")
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
    up = recorded.bridge(
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
    assert len({line["process"] for line in lines}) == 3


async def test_up_exits_with_2_when_the_settings_of_a_role_are_wrong(
    recorded: Project, port: int
) -> None:
    with taken(port):
        up = recorded.bridge("up", "-i", "127.0.0.1", "-p", str(port), "--handler", "echo:handle")
        assert await up.ends() == 2
    assert f"cannot listen on 127.0.0.1:{port}" in up.log
    assert not [pid for pid in pids(recorded) if runs(pid)]


async def test_up_stopped_before_its_roles_are_ready_exits_with_0(recorded: Project) -> None:
    up = recorded.bridge("up", "--handler", "echo:handle")
    await eventually(lambda: len(pids(recorded)) == 4)
    up.terminate()
    assert await up.ends() == 0, up.log
    assert not [pid for pid in pids(recorded) if runs(pid)]


async def test_a_very_long_log_line_does_not_stop_a_role(recorded: Project) -> None:
    shout = "    print('x' * 3_000_000)\n"
    recorded.write("echo.py", ECHO.replace("    await", shout + "    await"))
    worker = recorded.bridge("worker", "--processes", "2", "--handler", "echo:handle")
    await worker.prints("consuming 4 queues", count=2)
    for text in ("one", "two"):
        assert f'"text": "{text}"' in send(recorded, text, "--timeout", "30").stdout
    await worker.prints("was omitted")


async def test_a_killed_worker_process_is_restarted_and_sigterm_stops_all(
    recorded: Project,
) -> None:
    worker = recorded.bridge("worker", "--processes", "2", "--handler", "echo:handle")
    await prints(worker, r"^worker\.1 │ .*consuming 4 queues")
    await prints(worker, r"^worker\.2 │ .*consuming 4 queues")
    first = pids(recorded)
    assert len(first) == 3
    killed = max(first - {worker.popen.pid})
    os.kill(killed, signal.SIGKILL)
    await prints(worker, r"worker\.[12] ended with code -9; restarting in \d")
    await worker.prints("consuming 4 queues", count=3)
    assert len(pids(recorded) - first) == 1
    assert not runs(killed)
    worker.terminate()
    assert await worker.ends() == 0, worker.log
    assert not [pid for pid in pids(recorded) if runs(pid)]
