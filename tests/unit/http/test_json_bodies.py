"""The JSON body of a request is the one that Python's json writes, apart from blanks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.http.body import as_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(VALUES)
def test_a_body_says_what_json_writes_in_ascii(value: Any) -> None:
    body = as_json(value)
    assert body.isascii()
    # As text, because NaN is not equal to itself.
    assert json.dumps(json.loads(body)) == json.dumps(json.loads(json.dumps(value)))


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), ...])
def test_what_json_does_not_know_is_refused_at_any_depth(value: Any) -> None:
    for body in (value, [value], {"a": {"b": [1, value]}}):
        with pytest.raises(TypeError):
            as_json(body)
    with pytest.raises(TypeError):
        as_json({b"key": 1})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        as_json(deep)
