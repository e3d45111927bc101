"""Assembles a message from its three or more frames."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from bridge.broker.fast_path.codec import (
    BODY,
    END,
    HEADER,
    METHOD,
    OVERHEAD,
    body_size,
    frame_start,
    method_id,
)

M = TypeVar("M")
"""What the method frame says about the message."""

_header_start = struct.Struct(">BHIIQ")
"""The start of a header frame: type, channel, bytes, class and weight, bytes of the body."""


class Contents(ABC, Generic[M]):
    """The frames of one channel. A method frame announces a message; header and body follow."""

    def __init__(self) -> None:
        self._announced: M | None = None
        self._header = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        """Bytes of the body that did not arrive yet."""

    def take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> int:
        """Take a frame; see `tap.ChannelFrames`."""
        if kind == METHOD:
            if not self._method(method_id.unpack_from(data, start)[0], data, start + 4):
                return 0
            announced = self._announced
            if announced is None:
                return end + 1
            return self._whole(announced, channel, data, end + 1) or end + 1
        if self._announced is None:
            return 0  # the answer to a basic.get, for example
        if kind == HEADER:
            self._header = data[start:end]
            self._missing = body_size.unpack_from(data, start + 4)[0]
        else:
            self._pieces.append(data[start:end])
            self._missing -= end - start
        if self._missing <= 0:
            announced, pieces = self._announced, self._pieces
            self._announced, self._pieces = None, []
            self._message(announced, self._header, b"".join(pieces))
        return end + 1

    def _whole(self, announced: M, channel: int, data: bytes, at: int) -> int:
        """Take the header and the body that begin here, if both are there; return where they end.

        That is the usual case. Otherwise return 0, and the frames will be taken one by one.
        """
        size = len(data)
        if size < at + _header_start.size + OVERHEAD:
            return 0
        kind, of, length, _, expected = _header_start.unpack_from(data, at)
        header = at + OVERHEAD - 1
        header_end: int = header + length
        start = header_end + OVERHEAD
        end: int = start + expected
        if kind != HEADER or of != channel or end >= size or expected == 0:
            return 0
        if data[header_end] != END or data[end] != END:
            return 0
        if frame_start.unpack_from(data, header_end + 1) != (BODY, channel, expected):
            return 0
        self._announced = None
        self._message(announced, data[header:header_end], data[start:end])
        return end + 1

    @abstractmethod
    def _method(self, method: int, data: bytes, at: int) -> bool:
        """Take a method frame, whose arguments begin at `at`, or return False.

        Set `_announced` if a message follows.
        """

    @abstractmethod
    def _message(self, announced: M, header: bytes, body: bytes) -> None:
        """Receive a complete message. Must not raise."""
