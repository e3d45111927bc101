"""A JSON body has the values that Python's own decoder finds, or is refused with it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, strategies as st

from bridge.connectors.toolkit import request as requests
from bridge.errors import RequestRejected
from tests.support.fakes import a_request

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"])


def found(body: bytes) -> str:
    """Return a body's value, as text: 1 is not 1.0 there, nor True."""
    try:
        return repr(a_request(body).json())
    except RequestRejected as error:
        return str(error)


def expected(body: bytes) -> str:
    """Return what the slow decoder finds."""
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        return repr(requests._decoder.decode(text))
    except (ValueError, RecursionError):
        return found(b"")


@given(values, encodings, st.booleans())
def test_a_value_is_read_as_it_was_written(value: Any, encoding: str, ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    body = text.encode(encoding, "surrogatepass")
    assert found(body) == expected(body)


@given(
    values,
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255))),
    st.integers(0, 300),
)
def test_a_damaged_body_is_read_or_refused_alike(
    value: Any, changes: list[tuple[int, int]], length: int
) -> None:
    body = bytearray(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for at, byte in changes:
        body[at % len(body)] = byte
    assert found(bytes(body[:length])) == expected(bytes(body[:length]))


@given(st.text('0123456789.eE+-NaInfity"\\ud8ctrulsn{}[]:, \n\x00', max_size=30))
@example("1e400")
@example("-0")
@example("9" * 5000)
@example("1." + "0" * 400 + "1e-5")
@example('{"a":1,"a":2}')
@example('"\\ud800"')
@example('"\\udc00\\ud800"')
@example("[" * 100_000)
@example("\ufeff{}")
def test_a_text_that_looks_like_json_is_read_or_refused_alike(text: str) -> None:
    body = text.encode()
    assert found(body) == expected(body)


def test_what_is_no_json_is_refused() -> None:
    for body in (b"NaN", b"[Infinity]", b"1e999", b'{"a":1}x', b"\xff", b"[1,]", b"\x00"):
        assert found(body) == found(b"")
    assert found(b"[1.5]") == repr([1.5])
