"""Reads the properties of messages: those that `codec.Encoder` writes; pamqp reads all others.

So an unusual message costs more, and is never read differently.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec
from pamqp.header import ContentHeader

from bridge.broker.fast_path.codec import (
    ALWAYS,
    APP,
    HEADERS,
    JSON,
    REPLY_TO,
    method_id,
    short,
)

LENGTH_OF_PARENT = 55
"""Bytes of a `traceparent` of version 00."""
_NAMED = short("traceparent") + b"S" + method_id.pack(LENGTH_OF_PARENT)
_TRACED = method_id.pack(len(_NAMED) + LENGTH_OF_PARENT) + _NAMED
"""The start of a table that has only a `traceparent`."""
_FLAGS, _TABLE = 12, 14 + len(JSON)
"""Where the flags begin in a header frame's payload, and where the headers, or what follows."""
_STARTS = {
    struct.pack(">H", ALWAYS | headers | reply_to) + JSON: (bool(headers), bool(reply_to))
    for headers in (0, HEADERS)
    for reply_to in (0, REPLY_TO)
}
"""Flags and content type → whether there are headers, and a reply_to."""


class Properties(msgspec.Struct, frozen=True):
    """The properties of a message that the bridge reads, named as in pamqp."""

    message_type: str | None
    correlation_id: str | None
    message_id: str | None
    headers: Mapping[str, Any] | None


class _Unusual(Exception):
    """The bridge does not write such properties."""


def all_properties_of(payload: bytes) -> Any:
    """Return the properties in a header frame, also those that no message of a queue needs."""
    header = ContentHeader()
    header.unmarshal(payload)
    return header.properties


def unix(time: datetime) -> float:
    """Return an AMQP timestamp as Unix seconds; without a zone it is UTC (pamqp 3)."""
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def properties_of(payload: bytes) -> Any:
    """Return the properties in a header frame. `broker.properties` makes pamqp never raise.

    Everything is read in one function: a call costs more than what it would do here.
    """
    try:
        has_headers, has_reply_to = _STARTS[payload[_FLAGS:_TABLE]]
        at, headers = _TABLE, None
        if has_headers:
            if payload.startswith(_TRACED, at):  # most messages have no other header
                start, at = at + len(_TRACED), at + len(_TRACED) + LENGTH_OF_PARENT
                headers = {"traceparent": payload[start:at].decode()}
            else:
                headers, at = _table(payload, at)
        at += 1  # the delivery mode
        stop = at + 1 + payload[at]
        correlation_id = payload[at + 1 : stop].decode()
        if has_reply_to:
            at, stop = stop, stop + 1 + payload[stop]
            payload[at + 1 : stop].decode()
        at, stop = stop, stop + 1 + payload[stop]
        message_id = payload[at + 1 : stop].decode()
        at, stop = stop, stop + 9 + payload[stop + 8]
        # Seconds; pamqp 4 reads larger times as milliseconds.
        if payload[at : at + 4] == b"\0\0\0\0" and payload[stop:] == APP:
            kind = payload[at + 9 : stop].decode()
            return Properties(kind, correlation_id, message_id, headers)
    except (KeyError, _Unusual, IndexError, UnicodeDecodeError, struct.error):
        pass
    return all_properties_of(payload)


def _table(payload: bytes, at: int) -> tuple[dict[str, Any], int]:
    """Return the headers in a table that begins at `at`, and where it ends."""
    headers: dict[str, Any] = {}
    end = at + 4 + method_id.unpack_from(payload, at)[0]
    at += 4
    while at < end:
        stop = at + 1 + payload[at]
        name = payload[at + 1 : stop].decode()
        kind = payload[stop]
        at = stop + 9
        if kind == 0x53:  # S, a long string
            start = stop + 5
            at = start + method_id.unpack_from(payload, stop + 1)[0]
            headers[name] = payload[start:at].decode()
        elif kind == 0x6C:  # l, a signed 64-bit number
            headers[name] = int.from_bytes(payload[stop + 1 : at], "big", signed=True)
        else:
            raise _Unusual
    if at != end:
        raise _Unusual
    return headers, at
