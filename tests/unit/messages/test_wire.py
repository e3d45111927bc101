"""Messages survive encoding and decoding; every invalid message raises MessageError."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from bridge.errors import MessageError
from bridge.messages import (
    TYPES,
    InboundMessage,
    Message,
    Reply,
    ReplyTo,
    TurnEnd,
    decode,
    encode,
    newest_version,
)
from tests.support.fakes import a_reply, an_inbound

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
JSON_OBJECTS = st.dictionaries(st.text(), JSON_VALUES, max_size=4)
SECONDS = st.floats(0, 1e11)
KINDS = st.sampled_from(
    ["text", "buttons", "quick_replies", "image", "attachment", "elements", "custom"]
)

INBOUND = st.builds(
    InboundMessage,
    id=st.text(),
    channel=st.text(),
    sender_id=st.text(),
    text=st.text(),
    input_channel=st.text(),
    output_channel=st.text(),
    parse_data=st.none() | JSON_OBJECTS,
    metadata=st.none() | JSON_OBJECTS,
    route=JSON_OBJECTS,
    reply_to=st.none() | st.builds(ReplyTo, queue=st.text(), ticket=st.text()),
    received_at=SECONDS,
    traceparent=st.none() | st.text(),
)
REPLIES = st.builds(
    Reply,
    id=st.text(),
    channel=st.text(),
    recipient_id=st.text(),
    kind=KINDS,
    text=st.none() | st.text(),
    content=JSON_VALUES,
    options=JSON_OBJECTS,
    route=JSON_OBJECTS,
    in_reply_to=st.text(),
    ticket=st.none() | st.text(),
    created_at=SECONDS,
    traceparent=st.none() | st.text(),
    redelivered=st.booleans(),
)
TURN_ENDS = st.builds(TurnEnd, in_reply_to=st.text(), ticket=st.text(), error=st.none() | st.text())

REQUIRED: list[tuple[type, dict[str, Any]]] = [
    (
        InboundMessage,
        {
            "id": "e1",
            "channel": "callback",
            "sender_id": "ada",
            "text": "hello",
            "input_channel": "callback",
            "output_channel": "callback",
        },
    ),
    (
        Reply,
        {
            "id": "e1:0",
            "channel": "callback",
            "recipient_id": "ada",
            "kind": "text",
            "in_reply_to": "e1",
        },
    ),
    (TurnEnd, {"in_reply_to": "e1", "ticket": "t"}),
]
EVERY_KIND = pytest.mark.parametrize(
    ("kind", "fields"), REQUIRED, ids=[kind.__name__ for kind, _ in REQUIRED]
)
FIELDS = pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [(kind, fields, name) for kind, fields in REQUIRED for name in fields],
    ids=[f"{kind.__name__}.{name}" for kind, fields in REQUIRED for name in fields],
)


def body(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


@given(INBOUND | REPLIES | TURN_ENDS)
def test_a_decoded_message_equals_the_encoded_one(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


@given(INBOUND | REPLIES | TURN_ENDS)
def test_the_body_is_a_json_object_in_utf_8(message: Message) -> None:
    assert isinstance(json.loads(encode(message).decode("utf-8")), dict)


def test_the_names_on_the_wire_are_the_names_of_the_fields() -> None:
    message = an_inbound(received_at=1.5, metadata={"a": [1]}, reply_to=ReplyTo("q", "t"))
    assert json.loads(encode(message)) == {
        "id": "e1",
        "channel": "callback",
        "sender_id": "ada",
        "text": "hello",
        "input_channel": "callback",
        "output_channel": "callback",
        "metadata": {"a": [1]},
        "reply_to": {"queue": "q", "ticket": "t"},
        "received_at": 1.5,
    }
    assert json.loads(encode(a_reply(created_at=1.5))) == {
        "id": "e1:0",
        "channel": "callback",
        "recipient_id": "ada",
        "kind": "text",
        "text": "hi",
        "in_reply_to": "e1",
        "created_at": 1.5,
    }


@EVERY_KIND
def test_the_required_fields_are_enough(kind: type, fields: dict[str, Any]) -> None:
    message: Any = decode(body(fields), kind)
    assert {name: getattr(message, name) for name in fields} == fields


@EVERY_KIND
@given(extra=JSON_OBJECTS)
def test_unknown_fields_are_ignored(
    kind: type, fields: dict[str, Any], extra: dict[str, Any]
) -> None:
    later = {f"new_{name}": value for name, value in extra.items()}
    message: Any = decode(body({**fields, **later}), kind)
    assert {name: getattr(message, name) for name in fields} == fields


@FIELDS
def test_a_missing_field_is_an_error_that_names_it(
    kind: type, fields: dict[str, Any], name: str
) -> None:
    with pytest.raises(MessageError, match=f"{TYPES[kind]} message: .*`{name}`"):
        decode(body({key: value for key, value in fields.items() if key != name}), kind)


@pytest.mark.parametrize("value", [None, 7, True, [], {}], ids=str)
@FIELDS
def test_a_field_of_a_wrong_type_is_an_error(
    kind: type, fields: dict[str, Any], name: str, value: Any
) -> None:
    with pytest.raises(MessageError, match=name):
        decode(body({**fields, name: value}), kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", "text"),
        ("metadata", []),
        ("parse_data", 1),
        ("route", None),
        ("reply_to", {"queue": "q"}),
        ("received_at", "now"),
        ("v", "1"),
        ("v", None),
    ],
)
def test_an_optional_field_of_a_wrong_type_is_an_error(name: str, value: Any) -> None:
    with pytest.raises(MessageError, match=name):
        decode(body({**REQUIRED[0][1], name: value}), InboundMessage)


def test_a_reply_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(MessageError, match="kind"):
        decode(body({**REQUIRED[1][1], "kind": "hologram"}), Reply)


@EVERY_KIND
@pytest.mark.parametrize("later", [1, 100, 10**30])
def test_a_later_schema_version_is_an_error_that_asks_for_an_upgrade(
    kind: type, fields: dict[str, Any], later: int
) -> None:
    version = newest_version(kind) + later
    with pytest.raises(MessageError, match=f"version {version}.*upgrade"):
        decode(body({**fields, "v": version}), kind)


@EVERY_KIND
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"{}",
        b"not json",
        b"\xff\xfe",
        b"\x00",
        b"{'id': 1}",
        b'{"id": "\xed\xa0\x80"}',
        b'{"id": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_a_body_that_is_not_a_message_is_an_error(
    kind: type, fields: dict[str, Any], raw: bytes
) -> None:
    with pytest.raises(MessageError):
        decode(raw, kind)


@pytest.mark.parametrize("name", ["metadata", "parse_data", "route"])
def test_a_deeply_nested_body_is_an_error(name: str) -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    raw = body(REQUIRED[0][1])[:-1] + f', "{name}": '.encode() + deep + b"}"
    with pytest.raises(MessageError, match="recursion"):
        decode(raw, InboundMessage)


@given(INBOUND | REPLIES | TURN_ENDS, st.data())
def test_a_truncated_body_is_an_error(message: Message, data: st.DataObject) -> None:
    raw = encode(message)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(MessageError):
        decode(raw[:cut], type(message))


@EVERY_KIND
@given(raw=st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_invalid_body_raises_a_message_error(
    kind: type, fields: dict[str, Any], raw: bytes
) -> None:
    with pytest.raises(MessageError):
        decode(raw, kind)


def _endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [object(), int, 1j, {"a": object()}, [{"a": [object()]}], {None: 1}, {(1, 2): 3}],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("name", ["metadata", "route", "parse_data"])
def test_a_value_without_a_json_form_is_an_error(name: str, value: Any) -> None:
    changes: dict[str, Any] = {name: {"key": value}}
    with pytest.raises(MessageError, match="inbound message cannot be written as JSON"):
        encode(an_inbound(**changes))


def test_a_value_without_a_json_form_is_an_error_in_a_reply() -> None:
    with pytest.raises(MessageError, match="reply message cannot be written as JSON"):
        encode(a_reply(kind="custom", content=object()))
    with pytest.raises(MessageError, match="reply message cannot be written as JSON"):
        encode(a_reply(options={"parse_mode": object()}))


@pytest.mark.parametrize("make", [_endless, _deep], ids=["endless", "deep"])
def test_a_value_nested_too_deeply_is_an_error(make: Any) -> None:
    with pytest.raises(MessageError):
        encode(an_inbound(metadata={"key": make()}))


@pytest.mark.parametrize("name", ["id", "sender_id", "text"])
def test_half_a_surrogate_pair_is_an_error(name: str) -> None:
    with pytest.raises(MessageError):
        encode(an_inbound(**{name: "\ud800"}))


def test_messages_are_immutable() -> None:
    with pytest.raises(AttributeError):
        an_inbound().text = "other"  # type: ignore[misc]


def test_two_messages_do_not_share_a_route() -> None:
    first, second = an_inbound(), an_inbound()
    first.route["thread"] = "1"
    assert second.route == {}


@pytest.mark.parametrize("at", [-1.0, 1e308, -1e308, 2.0**63])
@pytest.mark.parametrize("field", ["received_at", "due_at"])
def test_a_time_that_no_clock_shows_is_refused(field: str, at: float) -> None:
    message = {**json.loads(encode(an_inbound())), field: at}
    with pytest.raises(MessageError, match=field):
        decode(json.dumps(message).encode(), InboundMessage)


@given(REPLIES, st.booleans())
def test_the_identity_of_a_reply_is_that_of_earlier_versions(reply: Reply, is_text: bool) -> None:
    """Processes of two versions must recognise each other's copies during an upgrade."""
    if is_text:
        reply = replace(reply, content=None, options={})
    read = json.dumps([reply.kind, reply.text, reply.content, reply.options], sort_keys=True)
    digest = hashlib.sha256(read.encode()).hexdigest()[:16]
    assert reply.identity == f"{reply.id}-{digest}"
