"""Completing a command line is cheap and complete."""

from __future__ import annotations

import os
import subprocess
import sys

from bridge.cli import COMMANDS
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


def completed(*lines: str) -> tuple[list[list[str]], set[str]]:
    """Complete the last word of each line; return the proposals, and the modules loaded."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *lines],
        env={**os.environ, "_RASA_BRIDGE_COMPLETE": "bash_complete"},
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    *found, modules = run.stdout.split("---\n")
    return [[p.partition(",")[2] for p in one.splitlines()] for one in found], {*modules.split()}


def test_completing_a_command_imports_none() -> None:
    (every, some), loaded = completed("", "do")
    assert (every, some) == (list(COMMANDS), ["doctor"])
    assert not loaded & {"asyncio", "bridge.commands", "worker.command", "msgspec"}


def test_completing_options_imports_no_library() -> None:
    found, loaded = completed(*(f"{name} --h" for name in COMMANDS))
    assert all("--help" in options for options in found)
    assert not loaded & {"yaml", "aio_pika", "aiohttp", "prometheus_client", "rich", "sanic"}
