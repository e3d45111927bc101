"""AMQP 0-9-1 frames that exist once or more per message (https://www.rabbitmq.com/specification).

What is written here is complete; `reading` has the properties that are read.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pamqp import encode

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
"""Types of frames."""
END = 0xCE
"""The last byte of every frame."""
OVERHEAD = 8
"""Bytes of a frame without its payload."""
CLOSE, CLOSE_OK = 20 << 16 | 40, 20 << 16 | 41
PUBLISH, RETURN, DELIVER = 60 << 16 | 40, 60 << 16 | 50, 60 << 16 | 60
ACK, NACK = 60 << 16 | 80, 60 << 16 | 120
"""Class and method, as they begin a method frame's payload."""

frame_start = struct.Struct(">BHI")
"""Type, channel, and bytes of the payload."""
method_id = struct.Struct(">I")
body_size = struct.Struct(">Q")
"""At byte 4 of a header frame's payload."""
tag_and_bits = struct.Struct(">QB")
"""A delivery tag and a byte of flags."""
_header_frame = struct.Struct(">BHIHHQH")
"""The start of a header frame, and what its payload begins with."""
_settlement = struct.Struct(">BHIIQBB")

CONTENT_TYPE, HEADERS, DELIVERY_MODE, CORRELATION_ID = 1 << 15, 1 << 13, 1 << 12, 1 << 10
REPLY_TO, MESSAGE_ID, TIMESTAMP, TYPE, APP_ID = 1 << 9, 1 << 7, 1 << 6, 1 << 5, 1 << 3
ALWAYS = CONTENT_TYPE | DELIVERY_MODE | CORRELATION_ID | MESSAGE_ID | TIMESTAMP | TYPE | APP_ID
"""The properties of every message that the bridge publishes."""
MOST_NAMES = 1024
"""Cached method frames of one channel. Names of private queues would grow without limit."""
FRAME_MIN = 4096
"""Bytes of a frame that every peer accepts."""
MOST_HEADERS = 100 * 1024
"""Bytes of headers that fit into a frame, with RabbitMQ's default of 128 KiB."""
BASIC, TRANSIENT, PERSISTENT = 60, 1, 2
REQUEUE = 0b10
MULTIPLE = 0b01


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return one frame."""
    return frame_start.pack(kind, channel, len(payload)) + payload + b"\xce"


def short(text: str) -> bytes:
    """Return a short string. Raises ValueError above 255 bytes."""
    data = text.encode()
    return bytes((len(data),)) + data


JSON = short("application/json")
APP = short("rasa-channel-bridge")
_CONTENTS = b"%b%b" + JSON + b"%b%c%c%b%b%c%b%b%b" + APP + b"\xce%b%b\xce"
"""Method frame, start of the header, headers, delivery mode, correlation id, reply_to, message id,
time and type; then the start of the body's frame, and the body."""
_LENGTH = 14 + len(JSON) + 1 + 1 + 1 + 8 + len(APP)
"""Bytes of a header frame's payload without headers, ids, reply_to and type."""


def refuse_oversized(*names: str | None, headers: Mapping[str, Any] | None) -> None:
    """Check what `Encoder.publish` checks, for a message that another encoder writes.

    Raises:
        ValueError: a name is longer than 255 bytes, or the headers do not fit into a frame.
    """
    for name in names:
        short(name or "")
    if len(encode.field_table(plain(headers or {}))) > MOST_HEADERS:
        raise ValueError


SHORT = 64
"""Characters that always fit into 255 bytes."""


def id_of(text: str) -> str:
    """Return a text, cut to the 255 bytes of a short string."""
    return text if len(text) < SHORT else text.encode()[:255].decode(errors="ignore")


def plain(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers as they are sent: the libraries write 24 bits of a float, which is two minutes
    of a Unix time, so a float is a text."""
    return {k: str(v) if type(v) is float else v for k, v in headers.items()}


@lru_cache(MOST_NAMES)
def _short(text: str) -> bytes:
    """Return a short string that is often the same."""
    return short(text)


@lru_cache(MOST_NAMES)
def _text_start(name: str, length: int) -> bytes:
    """Return what is before a text of so many bytes in a table."""
    return short(name) + b"S" + method_id.pack(length)


def _encoded(headers: Mapping[str, Any]) -> bytes:
    """Return a table. What is no text is written by pamqp."""
    entries = b""
    for name, value in headers.items():
        if type(value) is not str:
            return encode.field_table(plain(headers))
        text = value.encode()
        entries += _text_start(name, len(text)) + text
    return method_id.pack(len(entries)) + entries


class Encoder:
    """Writes the frames of one channel."""

    def __init__(self, channel: int, frame_max: int, *, confirms: bool = True) -> None:
        """`frame_max` is in bytes, 0 for no limit.

        Without `confirms`, messages are transient, and the broker drops those without a queue.
        """
        self._channel = channel
        self._delivery_mode = PERSISTENT if confirms else TRANSIENT
        self._mandatory = b"\x01" if confirms else b"\0"
        self._most = frame_max - OVERHEAD if frame_max else 1 << 31
        """Bytes of a body that fit into one frame."""
        self._most_properties = max(self._most, FRAME_MIN)
        self._methods: dict[tuple[str, str], bytes] = {}

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        kind: str,
        correlation_id: str,
        message_id: str,
        reply_to: str | None,
        headers: Mapping[str, Any] | None,
    ) -> bytes:
        """Return the frames of one message, sent now.

        Raises:
            ValueError: a name is longer than 255 bytes, or the headers do not fit into a frame.
        """
        flags, table, answers = ALWAYS, b"", b""
        if headers:
            flags |= HEADERS
            table = _encoded(headers)
        if reply_to is not None:
            flags |= REPLY_TO
            answers = short(reply_to)
        method = self._methods.get((exchange, routing_key)) or self._method(exchange, routing_key)
        subject, unique, named = correlation_id.encode(), message_id.encode(), _short(kind)
        length = _LENGTH + len(table) + len(subject) + len(answers) + len(unique) + len(named)
        if length > self._most_properties:
            raise ValueError  # the broker would close the connection
        channel, size = self._channel, len(body)
        is_one_frame = 0 < size <= self._most
        try:
            contents = _CONTENTS % (
                method,
                _header_frame.pack(HEADER, channel, length, BASIC, 0, size, flags),
                table,
                self._delivery_mode,
                len(subject),
                subject,
                answers,
                len(unique),
                unique,
                body_size.pack(int(time.time())),
                named,
                frame_start.pack(BODY, channel, size) if is_one_frame else b"",
                body if is_one_frame else b"",
            )
        except OverflowError as error:  # of %c
            raise ValueError from error
        if is_one_frame:
            return contents
        pieces = (body[at : at + self._most] for at in range(0, size, self._most))
        frames = (frame(BODY, channel, piece) for piece in pieces)
        return b"".join((contents[:-1], *frames))

    def _method(self, exchange: str, routing_key: str) -> bytes:
        names = short(exchange) + short(routing_key)
        payload = method_id.pack(PUBLISH) + b"\0\0" + names + self._mandatory
        if len(self._methods) >= MOST_NAMES:
            self._methods.clear()
        cached = self._methods[exchange, routing_key] = frame(METHOD, self._channel, payload)
        return cached

    def ack(self, tag: int, *, multiple: bool = False) -> bytes:
        """Return the frame that acks one delivery, or with `multiple` also all before it.

        Messages finish out of order, so `multiple` may ack what is still being worked on.
        """
        return _settlement.pack(METHOD, self._channel, 13, ACK, tag, MULTIPLE * multiple, END)

    def requeue(self, tag: int) -> bytes:
        """Return the frame that returns one delivery to its queue."""
        return _settlement.pack(METHOD, self._channel, 13, NACK, tag, REQUEUE, END)
