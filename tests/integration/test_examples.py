"""Each example, run by the commands of its README; they print what it shows."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from bridge import (
    RejectedDeliveryError,
    Response,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from tests.support.broker import TOP, Broker
from tests.support.cli import run_bridge
from tests.support.examples import EXAMPLES, Example
from tests.support.processes import Process

Open = Callable[[str], Example]


@pytest.fixture
def example(broker: Broker, tmp_path: Path) -> Iterator[Open]:
    opened: list[Example] = []

    def open(name: str) -> Example:
        opened.append(Example(name, tmp_path, broker.url))
        return opened[-1]

    yield open
    for each in opened:
        each.close()


async def all_roles_work(up: Process) -> None:
    await up.prints("ready to publish")
    await up.prints("listening on")
    await up.prints("consuming", count=2)


async def stops_cleanly(process: Process) -> None:
    process.terminate()
    assert await process.ends() == 0, process.log
    assert "Traceback" not in process.log


def test_the_index_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    folders = [path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] != "_"]
    assert folders
    assert not [name for name in folders if f"({name})" not in text]


async def test_a_handler_without_rasa(example: Open) -> None:
    shop = example("handler_without_rasa")
    worker = shop.start("rasa-bridge worker")
    await worker.prints("consuming")
    command = "rasa-bridge send"
    shop.check_shown(command, shop.run(command).stdout)
    failed = shop.run("rasa-bridge send fail")
    assert failed.returncode == 1
    assert "the turn failed" in failed.stderr
    assert "RuntimeError" in shop.run("rasa-bridge dead list").stdout
    worker.terminate()
    assert await worker.ends() == 0, worker.log

    up = shop.start("rasa-bridge up")
    await up.prints("collecting replies")
    await up.prints("listening on")
    await up.prints("consuming")
    shop.check_shown("rasa-bridge up", shop.run("curl").stdout)
    assert not shop.untried
    await stops_cleanly(up)


async def test_a_connector_for_your_own_service(example: Open) -> None:
    helpdesk = example("custom_connector")
    up = helpdesk.start("rasa-bridge up")
    await all_roles_work(up)
    command = "python service.py"
    ran = helpdesk.run(command)
    assert (ran.returncode, ran.stderr) == (0, "")
    helpdesk.check_shown(command, ran.stdout)
    said = [line.split(": ")[1] for line in ran.stdout.splitlines() if "desk north: " in line]
    paragraphs = [f"Our terms, paragraph {number}" for number in (1, 2, 3)]
    assert said == ["You said", *paragraphs, "picture https://example.com/shop.png"]
    assert not helpdesk.untried
    await stops_cleanly(up)


def test_the_custom_connector_reports_a_misspelt_key(example: Open) -> None:
    directory = example("custom_connector").directory
    credentials = directory / "credentials.yml"
    assert run_bridge(directory, "channels", "--strict").returncode == 0
    credentials.write_text(credentials.read_text().replace("secret:", "secrt:"))
    ran = run_bridge(directory, "channels")
    assert ran.returncode == 2
    assert "unknown key 'secrt'; did you mean 'secret'?" in ran.stderr


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ServiceUnavailable),
        (409, RejectedDeliveryError),
        (422, RejectedDeliveryError),
        (429, RetryableDeliveryError),
        (503, RetryableDeliveryError),
    ],
)
def test_the_custom_connector_knows_what_an_error_means(status: int, error: type[Any]) -> None:
    connector = load(EXAMPLES / "custom_connector" / "connector.py")
    with pytest.raises(error) as caught:
        connector.check(Response(status, {}, b""))
    assert type(caught.value) is error
    connector.check(Response(202, {}, b""))


def test_the_custom_connector_imports_only_from_bridge_and_the_standard_library() -> None:
    text = (EXAMPLES / "custom_connector" / "connector.py").read_text()
    imported = {
        line.split()[1] for line in text.splitlines() if line.startswith(("from", "import"))
    }
    assert imported == {"__future__", "bridge", "collections.abc", "hashlib", "hmac"}


async def test_a_slow_handler(example: Open) -> None:
    slow = example("slow_handler")
    backend = slow.start("python backend.py")
    up = slow.start("rasa-bridge up")
    await all_roles_work(up)
    command = "python ask.py"
    ran = slow.run(command)
    assert (ran.returncode, ran.stderr) == (0, ""), up.log
    slow.check_shown(command, ran.stdout)
    assert "generated 12 answers" in ran.stdout
    assert "refused 0 requests" not in ran.stdout
    assert "resumed 0 " not in ran.stdout
    assert not slow.untried
    await stops_cleanly(up)
    backend.terminate()
    await backend.ends()


# ---- compose -------------------------------------------------------------------------------------

COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose" / "compose.yml").read_text())
ROLES = ("webhook", "worker", "deliver")


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_compose_accepts_the_file() -> None:
    command = ["docker", "compose", "config", "--format", "json"]
    ran = subprocess.run(command, cwd=EXAMPLES / "compose", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert set(json.loads(ran.stdout)["services"]) == {"rabbitmq", *ROLES}


def test_the_compose_file_has_three_roles_and_their_broker() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"rabbitmq", *ROLES}
    assert [name for name, service in services.items() if "ports" in service] == ["webhook"]
    assert all(port.startswith("127.0.0.1:") for port in services["webhook"]["ports"])
    for role in ROLES:
        build = services[role]["build"]
        context = EXAMPLES / "compose" / build["context"]
        assert context.resolve() == TOP
        assert (context / build["dockerfile"]).is_file()
        assert services[role]["depends_on"] == {"rabbitmq": {"condition": "service_healthy"}}
        assert services[role]["environment"]["AMQP_URL"].endswith("@rabbitmq:5672/")


async def test_the_services_of_the_compose_file(example: Open) -> None:
    """Their commands, run here in place of containers."""
    compose = example("compose")
    commands = {role: COMPOSE["services"][role]["command"] for role in ROLES}
    commands["webhook"] += f" -i 127.0.0.1 -p {compose.ports['5005']}"
    roles = {
        role: compose.start_command(f"rasa-bridge {command}") for role, command in commands.items()
    }
    await roles["webhook"].prints("collecting replies")
    await roles["webhook"].prints("listening on")
    await roles["worker"].prints("consuming")
    await roles["deliver"].prints("consuming")
    command = "curl http://127.0.0.1:"
    compose.check_shown(command, compose.run(command).stdout)

    receive = "docker compose exec deliver "
    receiver = compose.start_command(compose.command(receive).removeprefix(receive))
    assert compose.run(command).stdout == "success"
    await receiver.prints('{"recipient_id": "ada", "text": "You said: hello"}')
    assert all(shlex.split(command)[:2] == ["docker", "compose"] for command in compose.untried)
    for process in roles.values():
        await stops_cleanly(process)
