"""Hostile bodies, derived from genuine ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "\ud800",
    "<@" * 1000,
    [],
    [None],
    [[]],
    {},
    {"id": {}},
    {"": [1]},
]
"""Replacements for each value of a body."""

DEEP = [b"[" * 100_000, b'{"a":' * 100_000, b'{"event":' * 50_000 + b"1" + b"}" * 50_000]


def mutations(value: Any) -> Iterator[Any]:
    """Yield the body with one value replaced or removed, for each value and replacement."""
    yield from VALUES
    for path in list(_paths(value)):
        for other in VALUES:
            yield _with(value, path, other)
        yield _without(value, path)


def truncations(body: bytes) -> Iterator[bytes]:
    """Yield truncated beginnings of a body."""
    step = max(1, len(body) // 12)
    yield from (body[:n] for n in range(1, len(body), step))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, (dict, list)):
            yield from _paths(inner, (*path, key))


def _with(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    changed = copy.deepcopy(value)
    _parent(changed, path)[path[-1]] = other
    return changed


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(value)
    del _parent(changed, path)[path[-1]]
    return changed


def _parent(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value
