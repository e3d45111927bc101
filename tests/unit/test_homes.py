"""Who may import what: each library has one home, and layers point in one direction."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FILES = sorted(
    path.relative_to(TOP).as_posix()
    for package in ("bridge", "worker")
    for path in (TOP / package).rglob("*.py")
)
CONNECTORS = [path for path in FILES if path.startswith("bridge/connectors/")]
MOST_LINES = 300
AMQP = ["bridge/broker/channels.py", "bridge/broker/connection.py"]
LONGER: dict[str, int] = {}
"""Known to be too long, and how long it may be. To be emptied, not to be filled."""


def imports(source: str, path: str) -> Iterator[str]:
    """Yield the full name of everything that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parents = Path(path).parent.parts
                above = parents[: len(parents) - node.level + 1]
                module = ".".join([*above, *([module] if module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@functools.cache
def imported_by(path: str) -> set[str]:
    return set(imports((TOP / path).read_text(encoding="utf-8"), path))


def uses(path: str, module: str) -> bool:
    return any(f"{name}.".startswith(f"{module}.") for name in imported_by(path))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import aio_pika", "aio_pika"),
        ("import aio_pika.abc as abc", "aio_pika.abc"),
        ("from aio_pika import Message", "aio_pika.Message"),
        ("from bridge.broker import connection", "bridge.broker.connection"),
        ("from ..broker.connection import connect", "bridge.broker.connection.connect"),
        ("from .. import broker", "bridge.broker"),
        ("from . import base", "bridge.connectors.base"),
        ("def f():\n    import rasa.core.agent", "rasa.core.agent"),
        ("if TYPE_CHECKING:\n    from rasa.core import agent", "rasa.core.agent"),
    ],
)
def test_an_import_is_found_however_it_is_written(source: str, name: str) -> None:
    assert name in set(imports(source, "bridge/connectors/rest.py"))


def test_the_files_are_found() -> None:
    assert "bridge/broker/connection.py" in FILES
    assert "worker/agent.py" in FILES
    assert "bridge/connectors/rest.py" in CONNECTORS


@pytest.mark.parametrize("library", ["aio_pika", "aiormq", "pamqp"])
def test_amqp_libraries_are_imported_in_their_two_homes_only(library: str) -> None:
    assert {path for path in FILES if uses(path, library)} <= set(AMQP)
    assert all(uses(path, "aio_pika") for path in AMQP)


def test_aiohttp_is_imported_in_http_py_only() -> None:
    assert [path for path in FILES if uses(path, "aiohttp")] == ["bridge/http/client.py"]


def test_prometheus_client_is_imported_in_metrics_py_only() -> None:
    assert [path for path in FILES if uses(path, "prometheus_client")] == [
        "bridge/telemetry/metrics.py"
    ]


def test_in_bridge_rasa_is_imported_in_hosted_py_only() -> None:
    found = [path for path in FILES if path.startswith("bridge/") and uses(path, "rasa")]
    assert found == ["bridge/hosted.py"]


def test_bridge_never_imports_worker() -> None:
    assert not [path for path in FILES if path.startswith("bridge/") and uses(path, "worker")]


def test_nothing_imports_the_tests_or_what_is_deployed() -> None:
    assert not [path for path in FILES if uses(path, "tests") or uses(path, "deploy")]


def test_connectors_know_nothing_of_amqp() -> None:
    assert not [path for path in CONNECTORS if uses(path, "bridge.broker")]


def test_plain_data_and_arithmetic_import_nothing_that_does_io() -> None:
    io = [
        "bridge.broker.connection",
        "bridge.broker.links",
        "bridge.webhook",
        "bridge.delivery",
        "sanic",
        "socket",
    ]
    plain = ("messages/wire", "messages/recent_ids", "broker/topology", "runtime/retry")
    for name in (
        *plain,
        "errors",
        "processing/lanes",
        "processing/attempts",
        "dead_letters/filter",
    ):
        assert not [module for module in io if uses(f"bridge/{name}.py", module)]


def test_importing_bridge_loads_no_library() -> None:
    code = "import sys, bridge; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    loaded = set(run.stdout.split())
    assert run.returncode == 0, run.stderr
    assert not loaded & {"sanic", "aiohttp", "aio_pika", "msgspec", "prometheus_client", "rasa"}


@pytest.mark.parametrize("path", FILES)
def test_no_file_is_so_long_that_two_things_live_in_it(path: str) -> None:
    lines = len((TOP / path).read_text(encoding="utf-8").splitlines())
    assert lines <= LONGER.get(path, MOST_LINES)


def test_no_file_is_called_too_long_that_is_not() -> None:
    for path in LONGER:
        assert len((TOP / path).read_text(encoding="utf-8").splitlines()) > MOST_LINES
