"""Assembles a message from its three or more frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from bridge.broker.fast_path.codec import HEADER, METHOD, body_size, method_id

M = TypeVar("M")
"""What the method frame says about the message."""


class Contents(ABC, Generic[M]):
    """The frames of one channel. A method frame announces a message; header and body follow."""

    def __init__(self) -> None:
        self._announced: M | None = None
        self._header = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        """Bytes of the body that did not arrive yet."""

    def take(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Take a frame; see `tap.ChannelFrames`."""
        if kind == METHOD:
            return self._method(method_id.unpack_from(data, start)[0], data, start + 4)
        if self._announced is None:
            return False  # the answer to a basic.get, for example
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
        return True

    @abstractmethod
    def _method(self, method: int, data: bytes, at: int) -> bool:
        """Take a method frame, whose arguments begin at `at`, or return False.

        Set `_announced` if a message follows.
        """

    @abstractmethod
    def _message(self, announced: M, header: bytes, body: bytes) -> None:
        """Receive a complete message. Must not raise."""
