"""A transport, what stands behind the tap, and frames as a broker sends them, written by pamqp."""

from __future__ import annotations

import asyncio
from typing import Any

import pamqp.frame
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from bridge.broker.fast_path.tap import Tap


class Transport:
    """Keeps what is written. `capacity` is the bytes after which it is full."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.protocol: Any = None
        self.capacity = 1 << 30

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.capacity -= len(data)
        if self.capacity < 0:
            self.protocol.pause_writing()

    def is_closing(self) -> bool:
        return False


class Behind(asyncio.Protocol):
    """Stands in for aiormq's protocol."""

    def __init__(self) -> None:
        self.received = b""
        self.is_paused = False

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False


class Wire:
    """A tap between both."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.behind = Behind()
        self.tap = Tap(self.transport, self.behind)
        self.transport.protocol = self.tap

    async def written(self) -> list[Any]:
        """Return the frames that were written since the last call."""
        await asyncio.sleep(0)
        data = b"".join(self.transport.writes)
        self.transport.writes.clear()
        return [frame for _, frame in frames_of(data)]


def frames_of(data: bytes) -> list[tuple[int, Any]]:
    """Return (channel, frame) of all frames in `data`, read by pamqp."""
    found = []
    while data:
        used, channel, frame = pamqp.frame.unmarshal(data)
        found.append((channel, frame))
        data = data[used:]
    return found


def message(
    announced: Any, body: bytes, properties: Any = None, *, channel: int = 1, piece: int = 1 << 17
) -> bytes:
    """Return the frames of a deliver, return or get-ok with its content."""
    header = ContentHeader(0, len(body), properties or commands.Basic.Properties())
    pieces = [ContentBody(body[at : at + piece]) for at in range(0, len(body), piece)]
    frames = [announced, header, *pieces]
    return b"".join(pamqp.frame.marshal(each, channel) for each in frames)


def deliver(tag: int, body: bytes = b"{}", *, consumer: str = "c", **more: Any) -> bytes:
    """Return the frames of a delivery."""
    announced = commands.Basic.Deliver(consumer, tag, False, "exchange", "key")
    return message(announced, body, **more)


def sent(frame: Any, channel: int = 1) -> bytes:
    """Return one frame of the broker."""
    return pamqp.frame.marshal(frame, channel)
