"""Slips of the keyboard: what the command line says to them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.errors import SettingsError


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("stats", "Error: No such command 'stats'. Did you mean 'status'?\n"),
        ("nothing", "Error: No such command 'nothing'."),
    ],
)
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(
    arguments: str, says: str
) -> None:
    ran = CliRunner().invoke(cli, arguments)
    assert ran.exit_code == 2
    assert says in ran.output


def test_an_empty_id_is_refused() -> None:
    ran = CliRunner().invoke(cli, ["trace", " "])
    assert isinstance(ran.exception, SettingsError)
    assert str(ran.exception) == "ID is empty; write it like: rasa-bridge trace MESSAGE-ID"
