"""Reads a stream on a channel that aiormq has opened. Only the offset of a message is decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pamqp.header import ContentHeader

from bridge.broker.fast_path.codec import DELIVER, Encoder, tag_and_bits
from bridge.broker.fast_path.contents import Contents
from bridge.broker.fast_path.tap import Tap
from bridge.broker.properties import OFFSET

_OFFSET = b"\x0fx-stream-offsetl"
"""The name of the header, and its type: a signed 64-bit number."""


class Browsed(NamedTuple):
    """One message of a stream."""

    tag: int
    offset: int
    header: bytes
    """The payload of the header frame."""
    body: bytes


class Browsing(Contents[int]):
    """The deliveries of one channel, which has one consumer."""

    def __init__(self, tap: Tap, channel: int, on_browsed: Callable[[Browsed], None]) -> None:
        super().__init__()
        self._tap = tap
        self._encoder = Encoder(channel, 0)
        self._on_browsed = on_browsed
        self._is_open = True
        tap.attach(channel, self)

    def ack(self, tag: int) -> None:
        """Ack all deliveries up to this one: the broker may send as many more."""
        if self._is_open:
            self._tap.write(self._encoder.ack(tag, multiple=True))

    def close(self) -> None:
        """Ack nothing more."""
        self._is_open = False

    def _method(self, method: int, data: bytes, at: int) -> bool:
        if method != DELIVER:
            return False
        self._announced = tag_and_bits.unpack_from(data, at + 1 + data[at])[0]
        return True

    def _message(self, announced: int, header: bytes, body: bytes) -> None:
        offset = _offset_of(header)
        if offset is not None:
            self._on_browsed(Browsed(announced, offset, header, body))


def _offset_of(header: bytes) -> int | None:
    """Return the offset of a message, or None if it is from no stream."""
    at = header.find(_OFFSET) + len(_OFFSET)
    if at < len(_OFFSET):
        return None
    if header.find(_OFFSET, at) < 0:
        return int.from_bytes(header[at : at + 8], "big", signed=True)
    decoded = ContentHeader()  # the value of another header contains these bytes, too
    decoded.unmarshal(header)
    offset = (decoded.properties.headers or {}).get(OFFSET)
    return offset if isinstance(offset, int) else None
