"""Starting `rasa-bridge` is cheap: a command's libraries are imported when it runs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest

from bridge.cli import COMMANDS
from tests.support.broker import TOP

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


def loaded_by(*command_lines: str) -> set[str]:
    """Run command lines in one new process; return the modules that it loaded."""
    code = (
        "import sys\nfrom bridge.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    try: main(line.split())\n"
        "    except SystemExit as end: assert not end.code, line\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *command_lines], cwd=TOP, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


def test_version_and_help_import_no_command_and_no_library_but_click() -> None:
    loaded = loaded_by("--version", "--help")
    assert "click" in loaded
    assert not loaded & (LIBRARIES | {"asyncio", "msgspec", "bridge.commands", "worker.command"})


def test_the_help_of_a_command_imports_no_heavy_library() -> None:
    assert not loaded_by(*(f"{name} --help" for name in COMMANDS)) & LIBRARIES


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_shows_the_short_help_of_each_command(name: str) -> None:
    entry = COMMANDS[name]
    command: click.Command = importlib.import_module(entry.module).command
    assert command.name == name
    assert command.get_short_help_str(LIMIT) == entry.help
