"""Colours where they are wanted, and no text that ends a command on a poor terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

import pytest

from bridge.telemetry.terminal import in_colour
from tests.support.broker import TOP


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "on_a_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"TERM": "xterm"}, True, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, False),
    ],
)
def test_the_environment_says_whether_there_are_colours(
    environment: dict[str, str],
    on_a_terminal: bool,
    elsewhere: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (in_colour(_Terminal()), in_colour(StringIO())) == (on_a_terminal, elsewhere)


PRINTED = "✓ ≥ 5 … naïve 中 \udce4"
SCRIPT = f"""
import logging, sys
from bridge.cli import main
from bridge.telemetry import logs
from rich.console import Console
import click
from bridge.telemetry.terminal import accept_any_text
accept_any_text()
logs.configure("test")
text = {PRINTED!a}
print(text)
Console().print(text)
click.echo(text + " (click)")
logging.getLogger("bridge.x").warning(text)
main(["--help"])
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_what_an_encoding_does_not_have_is_replaced(encoding: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(TOP)},
        capture_output=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert b"Error" not in ran.stderr, ran.stderr
    first = ran.stdout.splitlines()[0].decode(encoding)  # click writes UTF-8 instead of ASCII
    assert first.endswith("\\udce4")
    if encoding == "ascii":
        assert first == r"+ >= 5 ... naive \u4e2d \udce4"
