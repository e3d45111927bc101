"""Events of clients, and the events of replies; also run against Rasa's own channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

SAME = "the same"
TURN = "runs a turn nevertheless"
SILENT = "ignores it, but acknowledges it"
BREAKS = "fails: no acknowledgement ever arrives"


@dataclass(frozen=True)
class Utterance:
    """The data of a `user_uttered`."""

    name: str
    data: Any
    text: str | None = None
    """None if the client gets an error."""
    metadata: dict[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rasa: str = SAME
    """The result of Rasa's own channel."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Reaction:
    """A reply, and the data of its events; None if it is rejected."""

    name: str
    reply: Mapping[str, Any]
    emits: Sequence[Any] | None
    differs: str = ""

    def __str__(self) -> str:
        return self.name


SAID = [
    Utterance("a text", {"message": "hello"}, "hello"),
    Utterance("metadata", {"message": "hello", "metadata": {"a": 1}}, "hello", {"a": 1}),
    Utterance(
        "metadata as JSON text", {"message": "hi", "metadata": '{"a": [1]}'}, "hi", {"a": [1]}
    ),
    Utterance(
        "metadata under another key",
        {"message": "hello", "customData": {"a": 1}, "metadata": {"b": 1}},
        "hello",
        {"a": 1},
        {"metadata_key": "customData"},
    ),
    Utterance("a session without persistence", {"message": "hello", "session_id": "s"}, "hello"),
    Utterance("nothing", None, rasa=BREAKS),
    Utterance("a string", "hello", rasa=BREAKS),
    Utterance("a list", ["hello"], rasa=BREAKS),
    Utterance("a missing message", {}, rasa=TURN),
    Utterance("a blank message", {"message": " "}, rasa=TURN),
    Utterance("a number", {"message": 7}, rasa=BREAKS),
    Utterance("half a surrogate pair", {"message": "\ud800"}, rasa=TURN),
    Utterance("metadata of another type", {"message": "hi", "metadata": 7}, rasa=TURN),
    Utterance("metadata that is not JSON", {"message": "hi", "metadata": "{"}, rasa=BREAKS),
    Utterance(
        "too deeply nested metadata", {"message": "hi", "metadata": "[" * 100_000}, rasa=BREAKS
    ),
    Utterance(
        "a missing session, with persistence",
        {"message": "hello"},
        settings={"session_persistence": True},
        rasa=SILENT,
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
        differs="Rasa fails with an exception",
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
    Reaction("custom JSON for another room", {"kind": "custom", "content": {"room": "?"}}, []),
    Reaction("custom without data", {"kind": "custom", "content": {}}, [None]),
    Reaction("custom list", {"kind": "custom", "content": {"data": [1, 2]}}, [[1, 2]]),
    Reaction("custom JSON with unknown keys", {"kind": "custom", "content": {"a": 1}}, None),
    Reaction("custom JSON that is not an object", {"kind": "custom", "content": [1]}, None),
    Reaction(
        "custom JSON with an invalid room",
        {"kind": "custom", "content": {"room": {"a": 1}}},
        None,
    ),
]


KEY = "a key that is long enough for HS256, and for HS384, too"
GOOD = jwt.encode({"user": "ada"}, KEY, "HS256")
MAY_CONNECT: list[Any] = [{"token": GOOD}, {"token": f"Bearer {GOOD}"}]
"""The `auth` data of a client's connection."""
MAY_NOT: list[Any] = [
    None,
    {},
    {"token": "x"},
    {"token": ""},
    {"token": jwt.encode({"user": "ada"}, KEY[::-1], "HS256")},
    {"token": jwt.encode({"user": "ada"}, "", "none")},
    {"token": jwt.encode({"user": "ada"}, KEY, "HS384")},
    {"token": jwt.encode({"user": "ada", "exp": 1}, KEY, "HS256")},
    {"token": jwt.encode({}, KEY, "HS256")},
]
