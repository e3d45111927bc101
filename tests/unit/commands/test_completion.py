"""Completing a command line is cheap and complete."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bridge.cli import COMMANDS, cli
from bridge.commands.values import SYNCHRONOUS
from bridge.connectors.registry import CONNECTORS
from tests.support.broker import TOP

SCRIPT = """
import os, sys
from bridge.cli import main
for words in sys.argv[1:]:
    os.environ.update(COMP_WORDS=f"rasa-bridge {words}", COMP_CWORD=str(words.count(" ") + 1))
    try:
        main([])
    except SystemExit:
        print("---")
print(*sys.modules)
"""


def completed(
    *lines: str, kinds: bool = False, cwd: Path = TOP
) -> tuple[list[list[str]], set[str]]:
    """Complete the last word of each line; return the proposals, and the modules loaded.

    With `kinds`, each proposal is preceded by its kind, such as `file,`.
    """
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *lines],
        env={**os.environ, "_RASA_BRIDGE_COMPLETE": "bash_complete", "PYTHONPATH": str(TOP)},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    *found, modules = run.stdout.split("---\n")
    lists = [one.split() for one in found]
    if not kinds:
        lists = [[p.partition(",")[2] for p in one] for one in lists]
    return lists, {*modules.split()}


def test_completing_a_command_imports_none() -> None:
    (every, some), loaded = completed("", "do")
    assert (every, some) == (list(COMMANDS), ["doctor"])
    assert not loaded & {"asyncio", "bridge.commands", "worker.command", "msgspec"}


def test_completing_options_imports_no_library() -> None:
    found, loaded = completed(*(f"{name} --h" for name in COMMANDS))
    assert all("--help" in options for options in found)
    assert not loaded & {"yaml", "aio_pika", "aiohttp", "prometheus_client", "rich", "sanic"}


def test_channels_of_the_project_are_offered(tmp_path: Path) -> None:
    (tmp_path / "credentials.yml").write_text("rest:\nslack:\n  slack_token: ${NO_SUCH}\n")
    (tmp_path / "other.yml").write_text("telegram:\n")
    (tmp_path / "broken.yml").write_text("rest: [\n")
    found, loaded = completed(
        "dead list --channel ",
        "up --connector s",
        "pause replies ",
        "resume replies --credentials other.yml ",
        "pause --credentials broken.yml replies ",
        "pause --credentials missing.yml replies ",
        cwd=tmp_path,
    )
    assert found == [["rest", "slack"], ["slack"], ["slack"], ["telegram"], [], []]
    assert not loaded & {"aio_pika", "aiohttp", "prometheus_client", "rich", "sanic"}


def test_only_channels_with_reply_queues_are_offered_to_pause(tmp_path: Path) -> None:
    credentials = "rest:\na:\n  channel: rest\nb:\n  bridge:\n    channel: rest\nc:\n  bridge: 1\n"
    (tmp_path / "credentials.yml").write_text(credentials)
    found, _ = completed("pause replies ", "resume replies ", "dead list --channel ", cwd=tmp_path)
    assert found == [["c"], ["c"], ["rest", "a", "b", "c"]]


@pytest.mark.parametrize("kind", CONNECTORS)
def test_channels_without_reply_queues_are_known(kind: str) -> None:
    module, _, name = CONNECTORS[kind].rpartition(".")
    connector = getattr(importlib.import_module(module), name)
    assert connector.synchronous == (kind in SYNCHRONOUS)


def test_files_are_completed_wherever_one_is_expected() -> None:
    context = click.Context(cli)
    lines = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and option.metavar in ("FILE", "PATH"):
                lines.append(f"{name} {option.opts[-1]} x")
    assert len(lines) > 30
    found, _ = completed(*lines, kinds=True)
    assert found == [["file,x"]] * len(lines)
