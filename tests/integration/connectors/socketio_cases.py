"""What clients say and what replies become; the same cases are run against Rasa's own channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

SAME = "the same"
TURN = "runs a turn nevertheless"
SILENT = "ignores it, and acknowledges it"
BREAKS = "breaks: no acknowledgement ever comes"


@dataclass(frozen=True)
class Utterance:
    """The data of a `user_uttered`."""

    name: str
    data: Any
    text: str | None = None
    """None: it is an error to the client."""
    metadata: dict[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rasa: str = SAME
    """What Rasa's channel makes of it."""

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
    Utterance("nothing", None, rasa=BREAKS),
    Utterance("a text alone", "hello", rasa=BREAKS),
    Utterance("a list", ["hello"], rasa=BREAKS),
    Utterance("no message", {}, rasa=TURN),
    Utterance("a blank message", {"message": " "}, rasa=TURN),
    Utterance("a number", {"message": 7}, rasa=BREAKS),
    Utterance("half a surrogate pair", {"message": "\ud800"}, rasa=TURN),
    Utterance("metadata of another type", {"message": "hi", "metadata": 7}, rasa=TURN),
    Utterance("metadata that is no JSON", {"message": "hi", "metadata": "{"}, rasa=BREAKS),
    Utterance("metadata too deep", {"message": "hi", "metadata": "[" * 100_000}, rasa=BREAKS),
    Utterance(
        "no session, where they are kept",
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
        differs="Rasa breaks",
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
    ),
]


KEY = "a key that is long enough for HS256, and for HS384, too"
GOOD = jwt.encode({"user": "ada"}, KEY, "HS256")
MAY_CONNECT: list[Any] = [{"token": GOOD}, {"token": f"Bearer {GOOD}"}]
"""What a client sends along as `auth`."""
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
