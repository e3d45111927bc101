"""The W3C Trace Context of a message (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypedDict

MOST_TRACESTATE = 512
"""Characters; the standard asks for at least as many to be passed on."""
_PARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@lru_cache(1024)  # a message and its replies have the same one, and each needs it several times
def trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a W3C traceparent (version-trace_id-parent_id-flags), or None."""
    if not traceparent:
        return None
    found = _PARENT.match(traceparent)
    return found and found[1]


class TraceContext(TypedDict, total=False):
    """The fields of a message that carry its trace."""

    traceparent: str
    tracestate: str


def trace_context(headers: Mapping[str, str]) -> TraceContext:
    """Return the fields `traceparent` and `tracestate` of a message, from a request's headers.

    A `tracestate` is left out if it is not ASCII, longer than `MOST_TRACESTATE` characters, or
    alone.
    """
    parent = headers.get("traceparent")
    if not parent:
        return {}
    state = headers.get("tracestate")
    if not state or not state.isascii() or len(state) > MOST_TRACESTATE:
        return {"traceparent": parent}
    return {"traceparent": parent, "tracestate": state}
