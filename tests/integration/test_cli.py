"""The command line as a user sees it: help, settings, exit codes and one-line errors."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from bridge.cli import COMMANDS
from tests.support.cli import only_line, run_bridge, taken
from tests.support.handlers import ECHO
from tests.support.processes import Project

CALLBACK = "callback:\n  url: http://127.0.0.1:1/\n"


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
        "rest:\n  bridge: {burts: 3}\n",
        "credentials.yml: rest: unknown key of 'bridge' 'burts'; did you mean 'burst'?",
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
    "a switch where a text belongs gets quotes": (
        CALLBACK + "  token: true\n",
        "credentials.yml: callback: key 'token' must be a text or nothing,"
        " not true or false; put it in quotes",
    ),
    "a rate limit must be a number": (
        CALLBACK + "  rate_limit: fast\n",
        "credentials.yml: callback: key 'rate_limit' must be a number of calls per second, above 0",
    ),
    "an unset variable is named": (
        CALLBACK + "  incoming_token: ${TOKEN_THAT_IS_NOT_SET}\n",
        "credentials.yml: callback: incoming_token: the environment variable TOKEN_THAT_IS_NOT_SET"
        " is not set; export TOKEN_THAT_IS_NOT_SET",
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
        "bridge:\n  partitions: {inbound: 129}\n",
        "endpoints.yml: bridge: key 'partitions.inbound' must be a number from 1 to 128",
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
    assert f"declared: 6 exchanges and 22 queues of '{project.namespace}'" in ran.stdout


def test_a_wrong_amqp_url_in_the_environment_is_named_as_such(tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, "send", "x", env={"AMQP_URL": "localhost:5672"})
    assert "the environment variable AMQP_URL is not an AMQP URL; write it as" in only_line(ran, 2)


@pytest.mark.parametrize("option", ["--credentials", "--endpoints"])
def test_a_missing_file_named_on_the_command_line_is_one_line(option: str, tmp_path: Path) -> None:
    (tmp_path / "credentials.yml").write_text("rest:\n")
    ran = run_bridge(tmp_path, "webhook", option, "nowhere.yml")
    assert only_line(ran, 2).startswith("nowhere.yml: no such file; fix the path")


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
