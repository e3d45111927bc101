"""What clients say and what replies become; the same cases are run against Rasa's own channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Utterance:
    """The data of a `user_uttered`."""

    name: str
    data: Any
    text: str | None = None
    """None: it is an error to the client."""
    metadata: dict[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Reaction:
    """A reply, and the data of the events that it becomes; None if it is rejected."""

    name: str
    reply: Mapping[str, Any]
    emits: Sequence[Any] | None
    differs: str = ""

    def __str__(self) -> str:
        return self.name


TURN = "Rasa runs a turn with nothing said"
BREAKS = "Rasa breaks"

SAID = [
    Utterance("a text", {"message": "hello"}, "hello"),
    Utterance("metadata", {"message": "hello", "metadata": {"a": 1}}, "hello", {"a": 1}),
    Utterance("metadata as a text", {"message": "hi", "metadata": '{"a": [1]}'}, "hi", {"a": [1]}),
    Utterance(
        "metadata under another key",
        {"message": "hello", "customData": {"a": 1}, "metadata": {"b": 1}},
        "hello",
        {"a": 1},
        {"metadata_key": "customData"},
    ),
    Utterance("a session that is not kept", {"message": "hello", "session_id": "s"}, "hello"),
    Utterance("nothing", None, differs=BREAKS),
    Utterance("a text alone", "hello", differs=BREAKS),
    Utterance("a list", ["hello"], differs=BREAKS),
    Utterance("no message", {}, differs=TURN),
    Utterance("a blank message", {"message": " "}, differs=TURN),
    Utterance("a number", {"message": 7}, differs=BREAKS),
    Utterance("half a surrogate pair", {"message": "\ud800"}, differs="no queue can hold it"),
    Utterance("metadata of another type", {"message": "hi", "metadata": 7}, differs=BREAKS),
    Utterance("metadata that is no JSON", {"message": "hi", "metadata": "{"}, differs=BREAKS),
    Utterance("metadata too deep", {"message": "hi", "metadata": "[" * 100_000}, differs=BREAKS),
    Utterance(
        "no session, where they are kept",
        {"message": "hello"},
        settings={"session_persistence": True},
        differs="Rasa ignores it without a word",
    ),
]

YES = {"title": "Yes", "payload": "/affirm"}
QUICK = {"content_type": "text", **YES}
ELEMENT = {"title": "T", "buttons": [YES]}


def template(element: Any) -> dict[str, Any]:
    payload = {"template_type": "generic", "elements": element}
    return {"attachment": {"type": "template", "payload": payload}}


REPLIES = [
    Reaction("text", {"text": "one\n\ntwo\nthree"}, [{"text": "one"}, {"text": "two\nthree"}]),
    Reaction("blank text", {"text": " "}, [], differs="Rasa emits it"),
    *(
        Reaction(
            kind,
            {"kind": kind, "text": "one\n\ntwo", "content": [YES]},
            [{"text": "one", "quick_replies": []}, {"text": "two", "quick_replies": [QUICK]}],
        )
        for kind in ("buttons", "quick_replies")
    ),
    Reaction(
        "buttons without a text",
        {"kind": "buttons", "text": "", "content": [YES]},
        [{"text": "", "quick_replies": [QUICK]}],
    ),
    Reaction(
        "a button without a payload",
        {"kind": "buttons", "text": "?", "content": [{"title": "Yes"}]},
        [{"text": "?", "quick_replies": [{**QUICK, "payload": "Yes"}]}],
        differs=BREAKS,
    ),
    Reaction(
        "image",
        {"kind": "image", "content": "https://x.org/c.png"},
        [{"attachment": {"type": "image", "payload": {"src": "https://x.org/c.png"}}}],
    ),
    Reaction(
        "attachment",
        {"kind": "attachment", "content": {"type": "file"}},
        [{"attachment": {"type": "file"}}],
    ),
    Reaction(
        "elements",
        {"kind": "elements", "content": [ELEMENT, {"title": "U"}]},
        [template(ELEMENT), template({"title": "U"})],
    ),
    Reaction("custom", {"kind": "custom", "content": {"data": {"a": [1]}}}, [{"a": [1]}]),
    Reaction("custom to somebody else", {"kind": "custom", "content": {"room": "?"}}, []),
    Reaction("custom without data", {"kind": "custom", "content": {}}, [None]),
    Reaction("custom list", {"kind": "custom", "content": {"data": [1, 2]}}, [[1, 2]]),
    Reaction("custom that is no emit", {"kind": "custom", "content": {"a": 1}}, None),
    Reaction("custom that is no object", {"kind": "custom", "content": [1]}, None),
    Reaction(
        "custom for no room",
        {"kind": "custom", "content": {"room": {"a": 1}}},
        None,
        differs="Rasa breaks, too, but for all that comes after it in the turn",
    ),
]
