"""Every service folder has the same parts, and connectors import nothing above them."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from bridge.connectors.base import Connector
from bridge.connectors.registry import CONNECTORS

HERE = Path(__file__).parents[3] / "bridge/connectors"
SHARED = {"toolkit", "meta"}
"""Folders that several services share."""
SERVICES = sorted(path.parent.name for path in HERE.glob("*/__init__.py"))
SERVICES = [name for name in SERVICES if name not in SHARED]
ONE_FILE = {"callback", "rasa", "rest", "webhook"}
"""Services small enough for one file."""

REQUIRED = {"__init__.py", "connector.py", "incoming.py", "outgoing.py"}
OPTIONAL = {"kinds.py", "content.py", "cards.py", "tokens.py", "server.py", "events.py", "away.py"}
"""Kinds of events; what a message says; cards; tokens, signatures and logins that are fetched or
cached; a server for sockets; the shapes or handlers of events; replies for absent clients."""

BELOW = ("connectors", "errors", "messages", "settings", "http", "telemetry", "runtime")
"""Packages that connectors may import."""

each_service = pytest.mark.parametrize("service", SERVICES)


def functions_of(service: str, part: str) -> set[str]:
    tree = ast.parse((HERE / service / part).read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def connector_of(service: str) -> type[Connector]:
    package = importlib.import_module(f"bridge.connectors.{service}")
    (name,) = package.__all__
    connector: type[Connector] = getattr(package, name)
    return connector


def test_every_channel_is_a_folder_or_one_of_the_small_files() -> None:
    assert set(SERVICES) - {"wrapped"} | ONE_FILE == set(CONNECTORS)


@each_service
def test_a_service_folder_has_the_same_parts_as_the_others(service: str) -> None:
    parts = {path.name for path in (HERE / service).iterdir() if path.name != "__pycache__"}
    assert parts >= REQUIRED
    assert parts <= REQUIRED | OPTIONAL


@each_service
def test_a_service_folder_exports_its_connector_class_and_nothing_else(service: str) -> None:
    connector = connector_of(service)
    assert inspect.isclass(connector)
    assert issubclass(connector, Connector)
    assert connector.__module__ == f"bridge.connectors.{service}.connector"


@each_service
def test_incoming_parses(service: str) -> None:
    assert "parse" in functions_of(service, "incoming.py")


@each_service
def test_outgoing_makes_the_call_or_the_response(service: str) -> None:
    name = "respond" if connector_of(service).synchronous else "deliver"
    assert name in functions_of(service, "outgoing.py")


@each_service
def test_outgoing_knows_what_the_errors_of_its_service_mean(service: str) -> None:
    connector = connector_of(service)
    if connector.synchronous or connector.has_sockets or service == "wrapped":
        return
    outgoing = importlib.import_module(f"bridge.connectors.{service}.outgoing")
    assert callable(outgoing.raise_for_response)


@pytest.mark.parametrize(
    "path", sorted(HERE.rglob("*.py")), ids=lambda path: path.relative_to(HERE).as_posix()
)
def test_connectors_import_only_the_packages_below_them(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        for name in names:
            top, _, rest = name.partition(".")
            assert top != "worker"
            assert top != "bridge" or rest.partition(".")[0] in BELOW
