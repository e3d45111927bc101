"""Times may be written as numbers or as durations, in every option that takes seconds."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from bridge.cli import COMMANDS, cli
from bridge.commands.values import Seconds


def options_in_seconds() -> list[tuple[str, click.Option]]:
    context = click.Context(cli)
    found = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found += [
            (name, option)
            for option in command.params
            if isinstance(option, click.Option) and option.metavar == "SECONDS"
        ]
    return found


def test_every_option_in_seconds_takes_durations() -> None:
    options = options_in_seconds()
    assert len(options) > 8
    for command, option in options:
        assert isinstance(option.type, Seconds), (command, option.name)


@pytest.mark.parametrize(
    ("written", "seconds"), [("20", 20), ("1.5", 1.5), ("20s", 20), ("1h30m", 5400), (7, 7)]
)
def test_a_time_is_a_number_or_a_duration(written: str | int, seconds: float) -> None:
    assert Seconds().convert(written, None, None) == seconds


@pytest.mark.parametrize("written", ["20 s", "soon", "nan", "5x", "-5s", ""])
def test_what_is_no_time_is_told_how_to_write_one(written: str) -> None:
    ran = CliRunner().invoke(cli, ["send", "hello", "--timeout", written])
    assert ran.exit_code == 2
    assert f"{written!r} is not a time: write it as 90, 90s, 10m or 2h" in ran.output


def test_a_time_has_its_limits() -> None:
    ran = CliRunner().invoke(cli, ["send", "hello", "--timeout", "0s"])
    assert ran.exit_code == 2
    assert "0.0 is not in the range x>0" in ran.output
