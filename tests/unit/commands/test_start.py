"""Starting `rasa-bridge` is cheap: a command's libraries are imported when it runs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bridge.cli import COMMANDS
from tests.support.broker import TOP, free_port

LIBRARIES = {
    "aio_pika",
    "aiohttp",
    "prometheus_client",
    "rasa",
    "rich",
    "sanic",
    "uvloop",
    "yaml",
}
LIMIT = 64
"""Characters that fit beside the command names in 80 columns."""


def loaded_by(*command_lines: str, directory: Path = TOP, code: int = 0) -> set[str]:
    """Run command lines in one new process, each to this exit code; return the loaded modules."""
    script = (
        "import sys\nfrom bridge.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    try: main(line.split())\n"
        f"    except SystemExit as end: assert (end.code or 0) == {code}, (line, end.code)\n"
        "print(*sys.modules, sep='\\n')"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *command_lines],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a channel of each kind, and a broker that does not run."""
    (tmp_path / "credentials.yml").write_text(
        "rest:\ncallback:\n  url: http://127.0.0.1:1\n"
        "slack:\n  slack_token: a\n  slack_signing_secret: b\n"
    )
    (tmp_path / "endpoints.yml").write_text(f"bridge:\n  url: amqp://127.0.0.1:{free_port()}/\n")
    return tmp_path


def test_version_and_help_import_no_command_and_no_library_but_click() -> None:
    loaded = loaded_by("--version", "--help")
    assert "click" in loaded
    assert not loaded & (LIBRARIES | {"asyncio", "msgspec", "bridge.commands", "worker.command"})


def test_the_help_of_a_command_imports_no_heavy_library() -> None:
    assert not loaded_by(*(f"{name} --help" for name in COMMANDS)) & LIBRARIES


@pytest.mark.parametrize(
    "line",
    ["status", "dead list", "topology check", "topology declare", "send hello"],
)
def test_a_command_that_serves_nothing_does_not_load_sanic(line: str, project: Path) -> None:
    loaded = loaded_by(line, directory=project, code=1)
    assert "aio_pika" in loaded
    assert "sanic" not in loaded


def test_listing_the_channels_loads_neither_a_server_nor_the_broker_library(project: Path) -> None:
    assert not loaded_by("channels", directory=project) & {"sanic", "aio_pika"}


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("bridge.delivery.role", {"sanic"}),
        ("bridge.webhook.server", {"aiohttp"}),
        ("bridge.connectors.registry", {"sanic", "aiohttp", "aio_pika", "prometheus_client"}),
        ("worker.start", {"sanic", "aiohttp"}),
    ],
)
def test_a_role_loads_only_the_libraries_that_it_uses(module: str, unused: set[str]) -> None:
    """Each library costs every start of the role up to half a second of CPU time."""
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not set(run.stdout.splitlines()) & unused


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_shows_the_short_help_of_each_command(name: str) -> None:
    entry = COMMANDS[name]
    command: click.Command = importlib.import_module(entry.module).command
    assert command.name == name
    assert command.get_short_help_str(LIMIT) == entry.help


def test_up_says_at_once_that_rasa_is_missing(project: Path) -> None:
    script = "import sys\nsys.modules['rasa'] = None\nfrom bridge.cli import main\nmain(['up'])\n"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("rasa-bridge: rasa is not installed")
    assert "pip install 'rasa-channel-bridge[rasa" in run.stderr
    assert run.stderr.count("\n") == 1
