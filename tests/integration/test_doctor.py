"""`rasa-bridge doctor` in a project directory, with a real broker."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.stream import trace_stream
from bridge.broker.topology import Topology
from tests.support.broker import Broker
from tests.support.cli import run_bridge
from tests.support.processes import Project

SECRET = "s3kr1t-w0rd"


@pytest.fixture(scope="module")
def declared(broker: Broker) -> str:
    """Return a namespace whose topology is declared. Tests that share it change nothing there."""
    topology = Topology(f"test{secrets.token_hex(4)}", 4, 2, ("callback",))

    async def declare() -> None:
        async with connect(broker.url, "test") as connection:
            await ensure_topology(connection, topology)
            await connection.declare((), [trace_stream(topology)], passive=False)

    asyncio.run(declare())
    return topology.namespace


@pytest.fixture
def healthy(broker: Broker, declared: str, tmp_path: Path) -> Project:
    """A project without mistakes whose topology is declared."""
    project = Project(tmp_path, broker.url, declared)
    rest = "rest:\n  token: a-token\n"
    callback = "callback:\n  url: http://127.0.0.1:1/\n  incoming_token: a-token\n"
    project.write("credentials.yml", rest + callback)
    write_model(project.directory / "models" / "bot.tar.gz")
    endpoints = (project.directory / "endpoints.yml").read_text()
    store = "tracker_store: {type: SQL, dialect: sqlite, db: rasa.db}\n"
    project.write("endpoints.yml", endpoints + store)
    return project


def write_model(path: Path) -> None:
    path.parent.mkdir()
    version = metadata.version("rasa") if find_spec("rasa") else "3.6.21"
    body = json.dumps({"rasa_open_source_version": version}).encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("metadata.json")
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))


def examine(project: Project, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """Run doctor --json and check its exit code; return its findings by subject."""
    ran = run_bridge(project.directory, "doctor", "--json", *arguments, env=env)
    assert ran.stderr == ""
    assert SECRET not in ran.stdout
    answer = json.loads(ran.stdout)
    errors = [f for f in answer["findings"] if f["status"] == "error"]
    assert answer["ok"] is (not errors)
    assert ran.returncode == (1 if errors else 0)
    return {f["subject"]: f for f in answer["findings"]}


def append(project: Project, text: str) -> None:
    project.write("endpoints.yml", (project.directory / "endpoints.yml").read_text() + text)


def statuses(findings: Any) -> dict[str, str]:
    return {subject: f["status"] for subject, f in findings.items()}


def test_a_healthy_project_has_no_error(healthy: Project) -> None:
    findings = examine(healthy)
    # rasa pins aio-pika 8, which is a warning.
    assert set(statuses(findings).values()) <= {"ok", "warning"}
    assert {s for s, status in statuses(findings).items() if status == "warning"} <= {"aio-pika 8"}
    assert findings["broker"]["text"].startswith("RabbitMQ 4")
    assert findings["topology"]["text"] == "27 queues; messages waiting: 0, dead letters: 0"
    assert findings["trace"]["text"] == f"stream {healthy.namespace}.trace can be read"
    assert findings["channel callback"]["text"] == "served at /webhooks/callback/webhook"
    assert findings["model"]["text"].startswith("models/bot.tar.gz, trained with rasa ")
    assert findings["tracker store"]["text"].startswith("SQLite rasa.db")


def test_the_output_fits_80_columns_and_is_readable_without_colours(healthy: Project) -> None:
    ran = run_bridge(healthy.directory, "doctor", env={"AMQP_URL": ""})
    assert ran.returncode == 0
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\x1b" not in ran.stdout
    assert "✓ ok       broker" in ran.stdout


def test_doctor_imports_neither_rasa_nor_the_worker_nor_tensorflow(healthy: Project) -> None:
    code = (
        "import sys\nfrom bridge.cli import main\n"
        "try: main(['doctor', '--json'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'rasa', 'worker.handler', 'tensorflow', 'sqlalchemy'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=healthy.directory, capture_output=True, text=True
    )
    assert json.loads(ran.stdout)["ok"]
    assert ran.stderr == "[]\n"


def test_an_undeclared_topology_is_a_warning_and_stays_undeclared(
    project: Project,
) -> None:
    project.write("credentials.yml", "rest:\n")
    for _ in range(2):
        topology = examine(project)["topology"]
        assert topology["status"] == "warning"
        assert topology["text"] == "none of the 25 queues exists yet"
        assert "rasa-bridge topology declare" in topology["fix"]
        trace = examine(project)["trace"]
        assert trace["text"] == f"stream {project.namespace}.trace does not exist yet"
        assert "rasa-bridge topology declare" in trace["fix"]
    append(project, "  trace: false\n")
    assert "trace" not in examine(project)


async def test_a_queue_with_different_arguments_is_an_error_that_names_it(project: Project) -> None:
    project.write("credentials.yml", "rest:\n")
    topology = Topology(project.namespace, inbound_partitions=4)
    queue = topology.inbound_queues()[2]
    other = replace(queue, arguments={**queue.arguments, "x-delivery-limit": 7})
    async with connect(project.broker_url, "test") as connection:
        await connection.declare(topology.exchanges, [other], passive=False)
    finding = examine(project)["topology"]
    assert finding["status"] == "error"
    assert queue.name in finding["text"]
    assert "x-delivery-limit" in finding["text"]
    assert "rasa-bridge topology delete" in finding["fix"]


@pytest.mark.parametrize("inbound", [3, 8])
def test_a_different_number_of_partitions_on_the_broker_is_an_error(
    healthy: Project, inbound: int
) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    healthy.write("endpoints.yml", text.replace("inbound: 4", f"inbound: {inbound}"))
    finding = examine(healthy)["topology"]
    assert finding["status"] == "error"
    assert ("fewer" if inbound == 8 else "more") in finding["text"]
    assert finding["fix"].startswith("give every process the same bridge.partitions")


def test_waiting_messages_are_counted(healthy: Project, namespace: str) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    healthy.write("endpoints.yml", text.replace(healthy.namespace, namespace))
    assert run_bridge(healthy.directory, "topology", "declare").returncode == 0
    sent = run_bridge(healthy.directory, "send", "hello", "--timeout", "0.1")
    assert "acknowledged" in sent.stdout
    deadline = time.monotonic() + 30
    while "waiting: 1" not in (text := examine(healthy)["topology"]["text"]):
        assert time.monotonic() < deadline, text


# ---- an unreachable broker -----------------------------------------------------------------------


def test_an_unreachable_broker_is_an_error_and_the_other_checks_still_run(
    healthy: Project, port: int
) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    url = f"amqp://guest:{SECRET}@127.0.0.1:{port}/"
    healthy.write("endpoints.yml", text.replace(healthy.broker_url, url))
    findings = examine(healthy)
    assert findings["broker"]["status"] == "error"
    assert findings["broker"]["fix"] == "start RabbitMQ there, or fix bridge.url"
    assert "topology" not in findings
    assert findings["model"]["status"] == findings["tracker store"]["status"] == "ok"


def test_a_wrong_password_is_an_error_that_hides_it(healthy: Project, broker: Broker) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    url = f"amqp://guest:{SECRET}@127.0.0.1:{broker.port}/"
    healthy.write("endpoints.yml", text.replace(healthy.broker_url, url))
    assert "user and password" in examine(healthy)["broker"]["fix"]


def test_a_missing_virtual_host_is_an_error_that_names_it(healthy: Project) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    healthy.write("endpoints.yml", text.replace(healthy.broker_url, healthy.broker_url + "nope"))
    assert examine(healthy)["broker"]["text"].endswith("cannot open the virtual host 'nope'")


def test_a_malformed_url_is_an_error_that_hides_the_password(healthy: Project) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    url = f"amqp://guest:{SECRET}/x@127.0.0.1/"
    healthy.write("endpoints.yml", text.replace(healthy.broker_url, url))
    findings = examine(healthy)
    assert "bridge: key 'url' is not an AMQP URL" in findings["endpoints"]["text"]
    assert "broker" not in findings


# ---- wrong settings ------------------------------------------------------------------------------


def test_wrong_credentials_are_an_error_and_the_broker_is_still_checked(healthy: Project) -> None:
    healthy.write("credentials.yml", "rest:\n  token: a-token\ncalback: {}\n")
    findings = examine(healthy)
    assert "did you mean 'callback'?" in findings["credentials"]["fix"]
    assert statuses(findings)["broker"] == statuses(findings)["channel rest"] == "ok"


def test_an_unreadable_endpoints_file_is_one_error(healthy: Project) -> None:
    healthy.write("endpoints.yml", "bridge: [\n")
    findings = examine(healthy)
    assert [s for s, status in statuses(findings).items() if status == "error"] == ["endpoints"]
    assert "tracker store" not in findings
    assert findings["model"]["status"] == "ok"


def test_an_unset_variable_of_the_tracker_store_does_not_stop_the_broker_check(
    healthy: Project,
) -> None:
    text = (healthy.directory / "endpoints.yml").read_text()
    healthy.write(
        "endpoints.yml",
        text.partition("tracker_store")[0] + "tracker_store:\n  db: ${TRACKER_DB}\n",
    )
    findings = examine(healthy)
    assert findings["tracker store"]["status"] == "error"
    assert "TRACKER_DB is not set" in findings["tracker store"]["text"]
    assert findings["broker"]["status"] == "ok"


def test_files_named_on_the_command_line_are_the_ones_checked(healthy: Project) -> None:
    healthy.write("other/credentials.yml", "rest:\n")
    healthy.write("other/endpoints.yml", "bridge: {namspace: x}\n")
    findings = examine(
        healthy,
        "--credentials=other/credentials.yml",
        "--endpoints=other/endpoints.yml",
        "--model=other",
    )
    assert "channel callback" not in findings
    assert findings["endpoints"]["text"].startswith("other/endpoints.yml: ")
    assert findings["model"]["text"] == "no *.tar.gz in other/"


# ---- Rasa's own servers --------------------------------------------------------------------------


@pytest_asyncio.fixture
async def actions(port: int) -> Any:
    """The paths requested from an action server."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/actions/health", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield asked
    await runner.cleanup()


async def in_thread(healthy: Project) -> Any:
    return await asyncio.to_thread(examine, healthy)


async def test_the_health_of_the_action_server_is_requested(
    healthy: Project, actions: list[str], port: int
) -> None:
    url = f"http://bot:{SECRET}@127.0.0.1:{port}/actions/webhook?token={SECRET}"
    append(healthy, f"action_endpoint: {{url: '{url}'}}\n")
    assert (await in_thread(healthy))["action server"]["status"] == "ok"
    assert actions == ["/actions/health"]


async def test_an_action_server_without_a_health_endpoint_is_a_warning(
    healthy: Project, actions: list[str], port: int
) -> None:
    append(healthy, f"action_endpoint: {{url: 'http://127.0.0.1:{port}/webhook'}}\n")
    finding = (await in_thread(healthy))["action server"]
    assert (finding["status"], finding["text"][-8:]) == ("warning", "HTTP 404")


def test_an_action_server_that_is_down_is_a_warning(healthy: Project, port: int) -> None:
    append(healthy, f"action_endpoint: {{url: 'http://127.0.0.1:{port}/webhook'}}\n")
    finding = examine(healthy)["action server"]
    assert finding["status"] == "warning"
    assert "rasa run actions" in finding["fix"]


@pytest.fixture
def hangs_up() -> Iterator[int]:
    """The port of a server that accepts connections and closes them at the first bytes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)

    thread = threading.Thread(target=accept)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def set_store(project: Project, store: str) -> None:
    text = (project.directory / "endpoints.yml").read_text().partition("tracker_store")[0]
    project.write("endpoints.yml", f"{text}tracker_store: {{{store}}}\n")


@pytest.mark.parametrize(
    "store",
    [
        "type: SQL, dialect: postgresql, url: 127.0.0.1, port: PORT, username: u, password: SECRET",
        "type: SQL, url: 'postgresql://u:SECRET@127.0.0.1:PORT/db'",
        "type: redis, url: 127.0.0.1, port: PORT, password: SECRET",
        "type: mongod, url: 'mongodb://u:SECRET@127.0.0.1:PORT'",
    ],
)
def test_a_tracker_store_that_is_down_is_an_error(healthy: Project, port: int, store: str) -> None:
    set_store(healthy, store.replace("PORT", str(port)).replace("SECRET", SECRET))
    finding = examine(healthy)["tracker store"]
    assert finding["status"] == "error"
    assert f"127.0.0.1:{port}" in finding["text"]


@pytest.mark.parametrize(
    "store",
    [
        "type: SQL, dialect: postgresql, url: 127.0.0.1, port: PORT, username: u, password: SECRET",
        "type: SQL, url: 'postgresql://u:SECRET@127.0.0.1:PORT/db'",
    ],
)
def test_a_database_login_is_checked_if_sqlalchemy_is_installed(
    healthy: Project, hangs_up: int, store: str
) -> None:
    set_store(healthy, store.replace("PORT", str(hangs_up)).replace("SECRET", SECRET))
    finding = examine(healthy)["tracker store"]
    if find_spec("sqlalchemy"):
        assert finding["status"] == "error"
        assert "OperationalError" in finding["text"]
    else:
        assert finding["status"] == "ok"
        assert "not checked: rasa is not installed" in finding["text"]


def test_an_unknown_sqlalchemy_dialect_never_shows_the_url(healthy: Project, hangs_up: int) -> None:
    set_store(healthy, f"type: SQL, url: 'pstgres://u:{SECRET}@127.0.0.1:{hangs_up}/db'")
    finding = examine(healthy)["tracker store"]
    assert finding["status"] == ("error" if find_spec("sqlalchemy") else "ok")


@pytest.mark.parametrize(("password", "status"), [("guest", "ok"), (SECRET, "error")])
def test_the_event_broker_is_logged_in_to(project: Project, password: str, status: str) -> None:
    parts = urlsplit(project.broker_url)
    append(
        project,
        f"event_broker:\n  type: pika\n  url: {parts.hostname}\n  port: {parts.port}\n"
        f"  username: {parts.username}\n  password: {password}\n",
    )
    finding = examine(project)["event broker"]
    assert finding["status"] == status
