"""Which package may import which, and the one home of each library."""

from __future__ import annotations

import ast
import functools
import re
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
MOST_PACKAGES, MOST_MODULES = 14, 6
ENTRY_POINTS = ("bridge/__init__.py", "bridge/__main__.py")
"""They name modules of all packages, but import them only when they are needed."""


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


def package_of(path: str) -> str:
    """Return the row of the table to which a file belongs, such as `bridge.broker`."""
    parts = Path(path).with_suffix("").parts
    return "worker" if parts[0] == "worker" else ".".join(parts[:2])


def allowed() -> list[str]:
    """Return the packages of ARCHITECTURE.md's table, top to bottom."""
    text = (TOP / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition("## Which package may import which")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)` \|", section, flags=re.MULTILINE)


def libraries() -> dict[str, str]:
    """Return library → the package that is its only home, from the same table."""
    text = (TOP / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| ([\w, ]+) \|$", text, flags=re.MULTILINE)
    return {library: package for package, names in rows for library in names.split(", ")}


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


def test_the_files_and_the_table_are_found() -> None:
    assert "bridge/broker/connection.py" in FILES
    assert "worker/agent.py" in FILES
    assert "bridge/connectors/rest.py" in CONNECTORS
    assert set(allowed()) == {package_of(path) for path in FILES if path not in ENTRY_POINTS} - {
        "bridge.__init__"
    }
    assert libraries()["aio_pika"] == "bridge.broker"


@pytest.mark.parametrize("path", [path for path in FILES if path not in ENTRY_POINTS])
def test_a_package_imports_only_packages_above_it_in_the_table(path: str) -> None:
    order = allowed()
    own = package_of(path)
    above = order[: order.index(own) + 1]
    # Type-checking imports count as well: they are dependencies of the reader.
    for name in imported_by(path):
        package = "worker" if name.split(".")[0] == "worker" else ".".join(name.split(".")[:2])
        assert package not in order or package in above, f"{path} imports {name}"


@pytest.mark.parametrize(
    "library", ["aio_pika", "aiormq", "pamqp", "aiohttp", "prometheus_client", "opentelemetry"]
)
def test_a_library_is_imported_in_its_home_only(library: str) -> None:
    home = libraries()[library]
    assert {package_of(path) for path in FILES if uses(path, library)} <= {home}


def test_within_bridge_rasa_is_imported_in_hosted_py_only() -> None:
    found = [path for path in FILES if path.startswith("bridge/") and uses(path, "rasa")]
    assert found == ["bridge/hosted.py"]


def test_within_worker_rasa_is_imported_in_the_files_of_the_table_only() -> None:
    text = (TOP / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `worker` \| rasa \((.+)\) \|$", text, flags=re.MULTILINE)
    found = [path for path in FILES if path.startswith("worker/") and uses(path, "rasa")]
    assert found == re.findall(r"`([\w/.]+)`", row)


def test_bridge_never_imports_worker() -> None:
    assert not [path for path in FILES if path.startswith("bridge/") and uses(path, "worker")]


def test_nothing_imports_the_tests_or_the_deployment() -> None:
    assert not [path for path in FILES if uses(path, "tests") or uses(path, "deploy")]


def test_connectors_do_not_import_the_broker() -> None:
    assert not [path for path in CONNECTORS if uses(path, "bridge.broker")]


def test_plain_data_imports_nothing_that_does_io() -> None:
    plain = [path for path in FILES if path.startswith("bridge/messages/")]
    plain += ["bridge/errors.py", "bridge/broker/topology.py", "bridge/runtime/retry.py"]
    plain += ["bridge/runtime/durations.py", "bridge/dead_letters/filter.py"]
    for path in plain:
        assert not [module for module in ("asyncio", "sanic", "socket") if uses(path, module)]


def test_importing_bridge_loads_no_library() -> None:
    code = "import sys, bridge; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    loaded = set(run.stdout.split())
    assert run.returncode == 0, run.stderr
    assert not loaded & {"sanic", "aiohttp", "aio_pika", "msgspec", "prometheus_client", "rasa"}


def test_bridge_has_few_packages_and_few_modules_at_its_root() -> None:
    packages = {path.split("/")[1] for path in FILES if path.count("/") > 1}
    packages -= {path.split("/")[1] for path in FILES if path.startswith("worker/")}
    modules = [path for path in FILES if path.startswith("bridge/") and path.count("/") == 1]
    assert len(packages) <= MOST_PACKAGES
    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("path", FILES)
def test_no_file_is_so_long_that_two_topics_live_in_it(path: str) -> None:
    assert len((TOP / path).read_text(encoding="utf-8").splitlines()) <= MOST_LINES
