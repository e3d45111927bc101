"""Stands between a connection's transport and aiormq, and takes the frames of the fast path.

Importing this module makes each connection of aiormq have a tap from its first byte on, so that
the tap always knows where a frame begins.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol

from aiormq import connection as aiormq_connection

from bridge.broker.fast_path.codec import (
    BODY,
    CLOSE,
    CLOSE_OK,
    END,
    HEARTBEAT,
    METHOD,
    OVERHEAD,
    frame_start,
    method_id,
)

AMQP, LIBRARY = "RASA_BRIDGE_AMQP", "library"
"""Environment variable, and its value that switches the fast path off."""
LARGEST_WRITE = 64 * 1024
"""Bytes after which a write is passed on, and a full socket is noticed."""
KINDS = (METHOD, 2, BODY, HEARTBEAT)

Item = bytes | Callable[[], bytes]
"""Frames, or what returns them once they are about to be sent: b"" if they no longer shall be."""


class ChannelFrames(Protocol):
    """The fast path of one channel."""

    def take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> int:
        """Take the frame with this payload, and maybe frames that follow it in `data`.

        Return where the last one ends, or 0: then the frame is aiormq's.
        """

    def close(self) -> None:
        """The channel has closed. Its number may be used by another one."""


class Tap(asyncio.Protocol):
    """The protocol of a transport; aiormq's protocol is behind it."""

    def __init__(self, transport: Any, behind: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._behind = behind
        self._channels: dict[int, ChannelFrames] = {}
        self._rest = b""
        """The beginning of a frame."""
        self._is_off = False
        """Whether something arrived that is no frame: then aiormq reports it."""
        self._items: deque[Item] = deque()
        self._is_full = False
        self.reads = 0
        """How often the socket was read."""

    def attach(self, channel: int, frames: ChannelFrames) -> None:
        """Pass the frames of a channel to `frames` until the channel closes."""
        self._channels[channel] = frames

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Do nothing: aiormq's protocol was told before."""

    def data_received(self, data: bytes) -> None:
        """Split the bytes into frames."""
        self.reads += 1
        if self._is_off:
            self._behind.data_received(data)
            return
        if self._rest:
            data = self._rest + data
        at = theirs = 0
        size = len(data)
        while size - at >= OVERHEAD:
            kind, channel, length = frame_start.unpack_from(data, at)
            after = at + OVERHEAD + length
            if kind not in KINDS or (after <= size and data[after - 1] != END):
                self._is_off = True
                at = size
                break
            if after > size:
                break
            frames = self._channels.get(channel)
            if frames is not None:
                taken = frames.take(kind, channel, data, at + 7, after - 1)
                if taken:
                    if theirs < at:
                        self._behind.data_received(data[theirs:at])
                    theirs = after = taken
                elif kind == METHOD:
                    self._look_for_close(frames, channel, data, at + 7)
            at = after
        if theirs < at:
            self._behind.data_received(data[theirs:at])
        self._rest = data[at:]

    def _look_for_close(self, frames: ChannelFrames, channel: int, data: bytes, at: int) -> None:
        if method_id.unpack_from(data, at)[0] in (CLOSE, CLOSE_OK):
            del self._channels[channel]
            frames.close()
            # After aiormq's answer, a frame on this channel would end the connection.
            self.flush(even_if_full=True)

    @property
    def is_full(self) -> bool:
        """Whether the socket takes nothing more now."""
        return self._is_full

    def write(self, item: Item) -> None:
        """Send frames at the end of this pass of the event loop, together with all others."""
        if not self._items:
            self._loop.call_soon(self.flush)
        self._items.append(item)

    def flush(self, *, even_if_full: bool = False) -> None:
        """Send now what was written. While the socket is full, keep it, unless `even_if_full`."""
        while self._items and (even_if_full or not self._is_full):
            chunk = self._next_chunk()
            if chunk and not self._transport.is_closing():
                self._transport.write(chunk)

    def _next_chunk(self) -> bytes:
        chunk: list[bytes] = []
        size = 0
        while self._items and size < LARGEST_WRITE:
            item = self._items.popleft()
            chunk.append(item if isinstance(item, bytes) else item())
            size += len(chunk[-1])
        return b"".join(chunk)

    def pause_writing(self) -> None:
        """Write nothing until `resume_writing`: the socket is full."""
        self._is_full = True
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._is_full = False
        self._behind.resume_writing()
        self.flush()

    def eof_received(self) -> Any:
        """Tell aiormq."""
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiormq, which closes the channels."""
        for frames in self._channels.values():
            frames.close()
        self._channels.clear()
        self._items.clear()
        self._behind.connection_lost(exc)


_taps: ContextVar[list[Tap]] = ContextVar("taps")
"""Receives the taps of the connections that are opened in this context."""


def tapped() -> list[Tap]:
    """Return a list that receives the tap of each connection which this task opens from now on.

    It stays empty if the fast path is switched off.
    """
    taps: list[Tap] = []
    if os.environ.get(AMQP) != LIBRARY:
        _taps.set(taps)
    return taps


def _tap_connections() -> None:
    """Patch aiormq: its `FrameReceiver` is made when the socket is open and nothing was read."""
    receiver: Any = aiormq_connection.FrameReceiver
    original = receiver.__init__

    @wraps(original)
    def with_tap(self: Any, reader: Any, *rest: Any, **more: Any) -> None:
        original(self, reader, *rest, **more)
        transport = getattr(reader, "_transport", None)
        taps = _taps.get(None)
        if transport is not None and taps is not None:
            tap = Tap(transport, transport.get_protocol())
            transport.set_protocol(tap)
            taps.append(tap)

    receiver.__init__ = with_tap


_tap_connections()
