"""Splitting and flattening: no text is lost, too long or blank."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.connectors.toolkit.replies import (
    Button,
    button_line,
    buttons_of,
    calls,
    split_text,
    utf16_length,
)
from bridge.errors import RejectedDeliveryError
from tests.support.fakes import a_reply

TEXTS = st.text(st.sampled_from("ab \n\u0301\u200d\ufe0f👩🚀🇩🇪🦊") | st.characters(), max_size=200)
YES = {"title": "Yes", "payload": "/affirm"}


def without_blanks(text: str) -> str:
    return "".join(text.split())


@given(TEXTS, st.integers(2, 40), st.sampled_from([len, utf16_length]))
def test_the_pieces_are_the_text_and_none_is_too_long_or_blank(
    text: str, limit: int, length: Any
) -> None:
    pieces = list(split_text(text, limit, length))
    assert all(0 < length(piece) <= limit for piece in pieces)
    assert all(piece.strip() for piece in pieces)
    assert without_blanks("".join(pieces)) == without_blanks(text)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \n ", []),
        ("0123456789", ["0123456789"]),
        ("012345\n\n6 8901", ["012345", "6 8901"]),
        ("012345\n7 8901", ["012345", "7 8901"]),
        ("012 45 78901", ["012 45", "78901"]),
        ("0123456789\nx", ["0123456789", "x"]),
        ("0123456789 x", ["0123456789", "x"]),
        ("01234567890", ["0123456789", "0"]),
        ("a 23456789012", ["a 23456789", "012"]),
    ],
)
def test_a_text_is_split_at_paragraphs_lines_words_and_else_anywhere(
    text: str, pieces: list[str]
) -> None:
    assert list(split_text(text, 10)) == pieces


@pytest.mark.parametrize("combined", ["e\u0301", "👩\u200d🚀", "❤\ufe0f", "👍🏽", "🇩🇪"])
def test_combined_characters_are_not_split(combined: str) -> None:
    text = "12345678" + "x" * (2 - len(combined) % 2) + combined + "tail"
    for limit in range(9, len(text)):
        first, *_ = split_text(text, limit)
        rest = text[len(first) :]
        assert first.endswith(combined) or combined in rest or combined in first


def test_utf16_counts_an_emoji_twice() -> None:
    assert utf16_length("aé🦊") == 4
    assert [utf16_length(piece) for piece in split_text("🦊" * 5, 4, utf16_length)] == [4, 4, 2]


def test_a_reply_with_one_call_keeps_its_id_and_several_calls_get_their_own() -> None:
    assert [part.id for part in calls(a_reply("e1:0", text="hi"), ["text"], 9)] == ["e1:0"]
    parts = calls(a_reply("e1:0", text="one\n\ntwo"), ["text"], 9)
    assert [part.id for part in parts] == ["e1:0.0", "e1:0.1"]
    elements = a_reply(kind="elements", content=[{"title": "T" * 20, "buttons": [YES]}, {}])
    assert len({part.id for part in calls(elements, ["text", "buttons"], 9)}) == 4


def test_a_service_that_supports_only_texts_gets_the_same_texts_as_from_rasa() -> None:
    def texts(**fields: Any) -> list[str | None]:
        parts = calls(a_reply(**fields), ["text"], 100)
        assert {part.kind for part in parts} <= {"text"}
        return [part.text for part in parts]

    lines = ["Sure?", "1: Yes (/affirm)"]
    assert texts(kind="buttons", text="Sure?", content=[YES]) == lines
    assert texts(kind="quick_replies", text="Sure?", content=[YES]) == lines
    assert texts(kind="image", content="http://x/c.png") == ["Image: http://x/c.png"]
    assert texts(kind="attachment", content="http://x/a") == ["Attachment: http://x/a"]
    assert texts(kind="custom", content={"a": [1]}) == ['{"a": [1]}']
    assert texts(kind="elements", content=[{"title": "T", "subtitle": "S", "buttons": [YES]}]) == [
        "T : S",
        "1: Yes (/affirm)",
    ]


def test_native_kinds_are_not_changed() -> None:
    for kind in ("image", "attachment", "custom", "elements"):
        reply = a_reply(kind=kind, content=[])
        assert calls(reply, [kind], 5) == [reply]


def test_a_button_sends_its_payload_or_title_or_opens_a_link() -> None:
    link = {"type": "web_url", "title": "Go", "url": "http://x/", "payload": ""}
    reply = a_reply(kind="buttons", content=[YES, [{"title": "No"}], link, {"payload": "/x"}])
    yes, no, go = buttons_of(reply)
    assert yes == Button("Yes", "/affirm")
    assert (no.title, no.payload, no.url) == ("No", "No", None)
    assert (go.title, go.url) == ("Go", "http://x/")


def test_a_line_shows_further_keys_as_in_rasa() -> None:
    button = Button("Yes", "/affirm", details={"b": 1, "a": 2})
    assert button_line(button, 3) == '3: Yes (/affirm) - {"a": 2, "b": 1}'


@pytest.mark.parametrize("content", [None, "text", {"title": "x"}, [1], [None], ["x"]])
def test_malformed_buttons_are_rejected(content: Any) -> None:
    with pytest.raises(RejectedDeliveryError, match="malformed"):
        buttons_of(a_reply(kind="buttons", content=content))
