"""Publishes with confirms on a channel that aiormq has opened."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

import msgspec

from bridge.broker.fast_path.codec import (
    ACK,
    MULTIPLE,
    NACK,
    RETURN,
    SHORT,
    Encoder,
    id_of,
    tag_and_bits,
)
from bridge.broker.fast_path.contents import Contents
from bridge.broker.fast_path.reading import properties_of
from bridge.broker.fast_path.tap import LARGEST_WRITE, Tap
from bridge.errors import BrokerError, PublishRefused, Unroutable


class Publish(msgspec.Struct, eq=False):
    """One message until it is confirmed."""

    frames: bytes
    message_id: str
    routing_key: str
    timeout: float
    deadline: float
    confirmed: asyncio.Future[None]


class _Returned(NamedTuple):
    """A message that no queue is bound for; its confirm follows."""


class Publishing(Contents[_Returned]):
    """The messages of one channel. The broker numbers what it receives, and so do we."""

    def __init__(self, tap: Tap, channel: int, frame_max: int) -> None:
        super().__init__()
        self._tap = tap
        self._encoder = Encoder(channel, frame_max)
        self._waiting: dict[int, Publish] = {}
        """Delivery tag → what was sent and is not confirmed, in order."""
        self._unsent: deque[Publish] = deque()
        self._last_tag = 0
        self._is_open = True
        self._prefix = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._loop = asyncio.get_running_loop()
        tap.attach(channel, self)

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        kind: str,
        message_id: str,
        reply_to: str | None,
        headers: Mapping[str, Any] | None,
        timeout: float,
    ) -> Publish:
        """Send a message. Its future completes with the confirm, or fails.

        It is not sent any more if the future is done before the socket takes it. `overdue` tells
        what was not confirmed within `timeout` seconds.
        """
        unique = f"{self._prefix}-{next(self._numbers):x}"
        frames = self._encoder.publish(
            exchange,
            routing_key,
            body,
            kind,
            message_id if len(message_id) < SHORT else id_of(message_id),
            unique,
            reply_to,
            headers,
        )
        loop = self._loop
        deadline = loop.time() + timeout
        published = Publish(frames, unique, routing_key, timeout, deadline, loop.create_future())
        if not self._unsent:
            self._tap.write(self._sending)
        self._unsent.append(published)
        return published

    def _sending(self) -> bytes:
        """Return the frames of what is about to be sent, without what has failed by now."""
        if not self._is_open:
            return b""  # `fail` will find it
        unsent, waiting, tag = self._unsent, self._waiting, self._last_tag
        frames: list[bytes] = []
        size = 0
        while unsent and size < LARGEST_WRITE:
            published = unsent.popleft()
            if not published.confirmed.done():
                tag += 1
                waiting[tag] = published
                written, published.frames = published.frames, b""
                frames.append(written)
                size += len(written)
        self._last_tag = tag
        if unsent:
            self._tap.write(self._sending)  # what the socket does not take now may still fail
        return b"".join(frames)

    def fail(self, error: Callable[[], BrokerError]) -> None:
        """Fail everything that is not confirmed. What is not sent yet never will be."""
        for published in self._unconfirmed():
            published.confirmed.set_exception(error())
        self._unsent.clear()

    def _unconfirmed(self) -> list[Publish]:
        everything = (*self._waiting.values(), *self._unsent)
        return [published for published in everything if not published.confirmed.done()]

    def overdue(self, now: float) -> tuple[list[Publish], float]:
        """Return what was not confirmed by its deadline, and the next deadline, or infinity."""
        unconfirmed = self._unconfirmed()
        overdue = [each for each in unconfirmed if each.deadline <= now]
        return overdue, min((d for each in unconfirmed if (d := each.deadline) > now), default=inf)

    def close(self) -> None:
        """Send nothing more. `fail` tells those who wait."""
        self._is_open = False

    def _method(self, method: int, data: bytes, at: int) -> bool:
        if method in (ACK, NACK):
            tag, bits = tag_and_bits.unpack_from(data, at)
            waiting = self._waiting
            first = next(iter(waiting), tag) if bits & MULTIPLE else tag
            for each in range(first, tag + 1):
                published = waiting.pop(each, None)
                if published is None or published.confirmed.done():
                    pass  # it was confirmed alone, has failed by now, or was returned
                elif method == ACK:
                    published.confirmed.set_result(None)
                else:
                    problem = "the broker refused the message: its queue is full"
                    published.confirmed.set_exception(PublishRefused(problem))
        elif method == RETURN:
            self._announced = _Returned()
        else:
            return False
        return True

    def _message(self, announced: _Returned, header: bytes, body: bytes) -> None:
        message_id = properties_of(header).message_id
        for published in self._waiting.values():
            if published.message_id == message_id and not published.confirmed.done():
                problem = f"no queue is bound for routing key {published.routing_key!r}"
                published.confirmed.set_exception(Unroutable(problem))
