"""Publishes with confirms on a channel that aiormq has opened."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bridge.broker.fast_path.codec import (
    ACK,
    MULTIPLE,
    NACK,
    RETURN,
    Encoder,
    id_of,
    properties_of,
    tag_and_bits,
)
from bridge.broker.fast_path.contents import Contents
from bridge.broker.fast_path.tap import Tap
from bridge.errors import BrokerError, PublishRefused, Unroutable


class _Publish:
    """One message until it is confirmed."""

    __slots__ = ("_channel", "confirmed", "frames", "message_id", "routing_key")

    def __init__(
        self, channel: Publishing, frames: bytes, message_id: str, routing_key: str
    ) -> None:
        self._channel = channel
        self.frames = frames
        self.message_id = message_id
        self.routing_key = routing_key
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __call__(self) -> bytes:
        """Return the frames, about to be sent, or nothing if the publish has failed by now."""
        if not self._channel.may_send(self):
            return b""
        frames, self.frames = self.frames, b""
        return frames


class _Returned(NamedTuple):
    """A message that no queue is bound for; its confirm follows."""


class Publishing(Contents[_Returned]):
    """The messages of one channel. The broker numbers what it receives, and so do we."""

    def __init__(self, tap: Tap, channel: int, frame_max: int) -> None:
        super().__init__()
        self._tap = tap
        self._encoder = Encoder(channel, frame_max)
        self._waiting: dict[int, _Publish] = {}
        """Delivery tag → what was sent and is not confirmed, in order."""
        self._unsent: set[_Publish] = set()
        self._last_tag = 0
        self._is_open = True
        self._prefix = uuid.uuid4().hex
        self._numbers = itertools.count()
        tap.attach(channel, self)

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        kind: str,
        message_id: str,
        reply_to: str | None,
        headers: Mapping[str, Any] | None,
    ) -> asyncio.Future[None]:
        """Send a message; return what completes with its confirm, or fails.

        It is not sent any more if the future is done before the socket takes it.
        """
        unique = f"{self._prefix}-{next(self._numbers):x}"
        frames = self._encoder.publish(
            exchange,
            routing_key,
            body,
            kind=kind,
            correlation_id=id_of(message_id),
            message_id=unique,
            reply_to=reply_to,
            headers=headers,
        )
        published = _Publish(self, frames, unique, routing_key)
        self._unsent.add(published)
        self._tap.write(published)
        return published.confirmed

    def may_send(self, published: _Publish) -> bool:
        """Count a message that is about to be sent, or return False: it must not be sent."""
        if not self._is_open:
            return False  # `fail` will find it
        self._unsent.discard(published)
        if published.confirmed.done():
            return False
        self._last_tag += 1
        self._waiting[self._last_tag] = published
        return True

    def fail(self, error: Callable[[], BrokerError]) -> None:
        """Fail everything that is not confirmed. What is not sent yet never will be."""
        unsent, self._unsent = self._unsent, set()
        for published in (*self._waiting.values(), *unsent):
            if not published.confirmed.done():
                published.confirmed.set_exception(error())

    def close(self) -> None:
        """Send nothing more. `fail` tells those who wait."""
        self._is_open = False

    def _method(self, method: int, data: bytes, at: int) -> bool:
        if method in (ACK, NACK):
            tag, bits = tag_and_bits.unpack_from(data, at)
            self._settle(tag, bool(bits & MULTIPLE), method == ACK)
        elif method == RETURN:
            self._announced = _Returned()
        else:
            return False
        return True

    def _settle(self, tag: int, multiple: bool, is_accepted: bool) -> None:
        tags = list(itertools.takewhile(tag.__ge__, self._waiting)) if multiple else [tag]
        for each in tags:
            published = self._waiting.pop(each, None)
            if published is None or published.confirmed.done():
                continue  # it has failed by now, or was returned
            if is_accepted:
                published.confirmed.set_result(None)
            else:
                problem = "the broker refused the message: its queue is full"
                published.confirmed.set_exception(PublishRefused(problem))

    def _message(self, announced: _Returned, header: bytes, body: bytes) -> None:
        message_id = properties_of(header).message_id
        for published in self._waiting.values():
            if published.message_id == message_id and not published.confirmed.done():
                problem = f"no queue is bound for routing key {published.routing_key!r}"
                published.confirmed.set_exception(Unroutable(problem))
