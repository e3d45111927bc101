"""Slips of the keyboard: what the command line says to them."""

from __future__ import annotations

import pytest

from bridge.cli import main


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["stats"], 2, "Error: No such command 'stats'. Did you mean 'status'?\n"),
        (["nothing"], 2, "Error: No such command 'nothing'."),
        (
            ["trace", " "],
            2,
            "rasa-bridge: ID is empty; write it like: rasa-bridge trace ",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_last_line_says_what_is_wrong(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code
    assert says in capsys.readouterr().err
