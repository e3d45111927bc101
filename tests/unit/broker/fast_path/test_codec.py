"""The codec against pamqp: what one writes, the other reads."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pamqp import commands
from pamqp.header import ContentHeader

from bridge.broker import properties as properties  # makes pamqp never raise
from bridge.broker.fast_path.codec import Encoder, id_of, refuse_oversized
from bridge.broker.fast_path.reading import properties_of
from tests.unit.broker.fast_path.wires import frames_of

shorts = st.text(max_size=60)
names = st.text(st.characters(codec="ascii"), min_size=1, max_size=40)
values = st.one_of(
    # pamqp 3 cannot write small negative numbers.
    st.text(max_size=300),
    st.integers(0, 2**62),
    st.booleans(),
    st.floats(0, 1e9),
)
tables = st.dictionaries(names, values, max_size=4)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(["application/json", "text/plain", ""]),
        "content_encoding": shorts,
        "headers": tables,
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 9),
        "correlation_id": shorts,
        "reply_to": shorts,
        "expiration": shorts,
        "message_id": shorts,
        "timestamp": st.datetimes().map(lambda at: at.replace(year=2030)),
        "message_type": shorts,
        "user_id": shorts,
        "app_id": st.sampled_from(["rasa-channel-bridge", "other", ""]),
    },
)
OURS = {
    "content_type": "application/json",
    "delivery_mode": 2,
    "correlation_id": "m1",
    "message_id": "p1",
    "message_type": "inbound",
    "app_id": "rasa-channel-bridge",
}


def read_by_pamqp(payload: bytes) -> Any:
    header = ContentHeader()
    header.unmarshal(payload)
    return header.properties


def same(payload: bytes) -> bool:
    ours, theirs = properties_of(payload), read_by_pamqp(payload)
    names = ("message_type", "correlation_id", "message_id")
    return (ours.headers or {}) == (theirs.headers or {}) and all(
        getattr(ours, name) == getattr(theirs, name) for name in names
    )


@given(
    st.binary(max_size=3000),
    st.tuples(names, names, shorts, shorts, shorts, st.none() | shorts, st.none() | tables),
    st.sampled_from([0, 100, 4096]),
    st.integers(1, 65535),
)
def test_pamqp_reads_what_is_published(
    body: bytes, texts: tuple[Any, ...], frame_max: int, channel: int
) -> None:
    exchange, key, kind, correlation_id, message_id, reply_to, headers = texts
    data = Encoder(channel, frame_max).publish(
        exchange,
        key,
        body,
        kind=kind,
        correlation_id=correlation_id,
        message_id=message_id,
        reply_to=reply_to,
        headers=headers,
    )
    (numbers, (publish, header, *pieces)) = zip(*frames_of(data), strict=True)
    assert set(numbers) == {channel}
    assert (publish.exchange, publish.routing_key, publish.mandatory) == (exchange, key, True)
    assert b"".join(piece.value for piece in pieces) == body
    assert header.body_size == len(body)
    found = header.properties
    assert (found.message_type, found.message_id) == (kind, message_id)
    assert (found.correlation_id, found.reply_to) == (correlation_id, reply_to)
    assert (found.delivery_mode, found.content_type) == (2, "application/json")
    assert abs(found.timestamp.timestamp() - time.time()) < 60
    texts_only = {k: str(v) if type(v) is float else v for k, v in (headers or {}).items()}
    assert (found.headers or {}) == texts_only
    if frame_max:
        assert all(len(piece.value) + 8 <= frame_max for piece in pieces)


@given(PROPERTIES)
def test_properties_are_read_as_pamqp_reads_them(given: dict[str, Any]) -> None:
    assert same(ContentHeader(0, 5, commands.Basic.Properties(**given)).marshal())


@given(PROPERTIES, st.data())
def test_so_are_properties_of_the_bridge_that_were_changed(
    given: dict[str, Any], data: st.DataObject
) -> None:
    header = ContentHeader(0, 5, commands.Basic.Properties(**{**given, **OURS})).marshal()
    at = data.draw(st.integers(14, len(header) - 1))
    changed = bytearray(header)
    changed[at] = data.draw(st.integers(0, 255))
    assert same(bytes(changed))


@given(st.integers(1, 2**63 - 1), st.integers(1, 65535))
def test_each_delivery_is_settled_alone(tag: int, channel: int) -> None:
    encoder = Encoder(channel, 0)
    ((number, ack),) = frames_of(encoder.ack(tag))
    assert (number, ack.name, ack.delivery_tag) == (channel, "Basic.Ack", tag)
    assert not ack.multiple
    ((number, nack),) = frames_of(encoder.requeue(tag))
    assert (number, nack.name, nack.delivery_tag) == (channel, "Basic.Nack", tag)
    assert nack.requeue
    assert not nack.multiple


def test_a_name_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="range"):
        Encoder(1, 0).publish(
            "e", "k" * 256, b"", kind="", correlation_id="", message_id="", reply_to=None,
            headers=None,
        )  # fmt: skip


@given(st.text(max_size=400))
def test_an_id_is_cut_to_the_bytes_of_a_short_string(text: str) -> None:
    cut = id_of(text)
    assert text.startswith(cut)
    assert len(cut.encode()) <= 255
    assert cut == text or len(cut.encode()) > 251


def test_cached_method_frames_do_not_grow_without_limit() -> None:
    encoder = Encoder(1, 0)
    for n in range(3000):
        encoder._method("private", f"queue-{n}")
    assert len(encoder._methods) <= 1024
    ((_, publish),) = frames_of(encoder._method("private", "queue-1"))
    assert publish.routing_key == "queue-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"routing_key": "k" * 256},
        {"routing_key": "é" * 128},
        {"reply_to": "q" * 256},
        {"kind": "t" * 256},
        {"headers": {"traceparent": "0" * 131_072}},
        {"headers": {f"h{n}": "x" * 2000 for n in range(70)}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_does_not_fit_into_a_frame_is_not_sent(changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "kind": "inbound",
        "reply_to": None,
        "headers": None,
        "routing_key": "key",
        **changes,
    }
    with pytest.raises(ValueError):  # noqa: PT011
        Encoder(1, 131_072).publish(
            "exchange", body=b"{}", correlation_id="c", message_id="m", **given
        )
    key, reply_to, headers = given["routing_key"], given["reply_to"], given["headers"]
    with pytest.raises(ValueError):  # noqa: PT011
        refuse_oversized("exchange", key, given["kind"], reply_to, headers=headers)
