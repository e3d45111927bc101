"""What every connector is given: how a text becomes calls."""

from __future__ import annotations

import pytest

from bridge.connectors.toolkit.replies import paragraphs
from tests.support.fakes import a_reply


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hi", ["hi"]),
        (" hi \n", ["hi"]),
        ("one\n\ntwo", ["one", "two"]),
        ("\n\none\n\ntwo\n\n", ["one", "two"]),
        ("one\ntwo", ["one\ntwo"]),
        # As Rasa: `text.strip().split("\n\n")`, and its parts are not stripped …
        ("one\n\n\ntwo", ["one", "\ntwo"]),
        # … but no part is empty, which services refuse.
        ("one\n\n\n\ntwo", ["one", "two"]),
        ("one\n\n \n\ntwo", ["one", "two"]),
        ("", []),
        (" \n\n\n", []),
    ],
)
def test_a_text_is_one_call_a_paragraph_and_none_is_empty(text: str, parts: list[str]) -> None:
    assert [part.text for part in paragraphs(a_reply(text=text))] == parts


def test_a_single_part_keeps_the_id_and_several_have_their_own() -> None:
    assert [part.id for part in paragraphs(a_reply("e1:0", text="one\n"))] == ["e1:0"]
    several = paragraphs(a_reply("e1:0", text="one\n\n\n\ntwo"))
    assert [part.id for part in several] == ["e1:0.0", "e1:0.1"]


def test_other_kinds_stay_whole() -> None:
    reply = a_reply(kind="buttons", text="one\n\ntwo", content=[])
    assert list(paragraphs(reply)) == [reply]
