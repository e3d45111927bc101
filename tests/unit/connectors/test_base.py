"""The default split of a text into calls."""

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
        # As in Rasa, `text.strip().split("\n\n")`: the parts are not stripped …
        ("one\n\n\ntwo", ["one", "\ntwo"]),
        # … but empty parts are left out, because services refuse them.
        ("one\n\n\n\ntwo", ["one", "two"]),
        ("one\n\n \n\ntwo", ["one", "two"]),
        ("", []),
        (" \n\n\n", []),
    ],
)
def test_a_text_is_one_call_per_paragraph_and_none_is_empty(text: str, parts: list[str]) -> None:
    assert [part.text for part in paragraphs(a_reply(text=text))] == parts


def test_a_single_part_keeps_the_id_and_several_parts_get_their_own() -> None:
    assert [part.id for part in paragraphs(a_reply("e1:0", text="one\n"))] == ["e1:0"]
    several = paragraphs(a_reply("e1:0", text="one\n\n\n\ntwo"))
    assert [part.id for part in several] == ["e1:0.0", "e1:0.1"]


def test_other_kinds_are_not_split() -> None:
    reply = a_reply(kind="buttons", text="one\n\ntwo", content=[])
    assert list(paragraphs(reply)) == [reply]
