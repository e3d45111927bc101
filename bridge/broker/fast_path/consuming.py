"""Consumes on a channel that aiormq has opened: deliveries and settlements."""

from __future__ import annotations

import asyncio
from bisect import bisect
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from math import inf
from typing import Any

import msgspec

from bridge.broker.fast_path.codec import DELIVER, Encoder, tag_and_bits
from bridge.broker.fast_path.contents import Contents
from bridge.broker.fast_path.reading import properties_of
from bridge.broker.fast_path.sending import Sending
from bridge.broker.fast_path.tap import Tap


class Received(msgspec.Struct, frozen=True):
    """One delivery."""

    tag: int
    redelivered: bool
    properties: Any
    body: bytes


OnReceived = Callable[[Received], None]


_Announced = tuple[bytes, int, bool]
"""Consumer tag, delivery tag, and whether it was delivered before."""


_GONE: tuple[OnReceived | None, bool] = None, True


class Consuming(Contents[_Announced]):
    """The deliveries of one channel. aiormq declares its consumers and answers everything else."""

    def __init__(self, tap: Tap, channel: int, frame_max: int = 0) -> None:
        super().__init__()
        self.sending = Sending(tap, channel, frame_max)
        """Publishes on the same channel."""
        self._tap = tap
        self._encoder = Encoder(channel, 0)
        self._consumers: dict[bytes, tuple[OnReceived | None, bool]] = {}
        """Consumer tag → who takes its deliveries, and whether they are acked."""
        self._held: dict[int, None] = {}
        """The tags of what is not settled, in order."""
        self._last_tag = 0
        self._are_all_seen = True
        """Whether every message of this channel has come through here."""
        self._finished: list[int] = []
        """The tags that are acked with the next write."""
        self._is_open = True
        self._context = copy_context()
        tap.attach(channel, self)

    def on(self, consumer: str, on_received: OnReceived, *, no_ack: bool = False) -> None:
        """Pass the deliveries of a consumer tag to `on_received`. Call it before consuming."""
        self._consumers[consumer.encode()] = on_received, not no_ack

    def settle(self, tag: int, *, requeue: bool = False) -> None:
        """Ack one delivery, or return it to its queue. Does nothing once the channel has closed."""
        if not self._is_open:
            return
        if requeue:
            # An ack of several must not take this one along, so it leaves between what has finished
            # before and after.
            self._tap.write(self._acks(self._finished))
            self._held.pop(tag, None)
            self._tap.write(self._encoder.requeue(tag))
            return
        if not self._finished:
            self._finished = []  # not the one that an earlier write will look at
            self._tap.write(partial(self._acks, self._finished))
        self._finished.append(tag)

    def _acks(self, finished: list[int]) -> bytes:
        """Return the acks of what has finished, one for all that is older than what is held."""
        tags = sorted(finished)
        finished.clear()
        if not self._is_open:
            return b""
        held = self._held
        for tag in tags:
            held.pop(tag, None)
        older = bisect(tags, next(iter(held), inf)) if self._are_all_seen else 0
        if older < 2:
            return b"".join(map(self._encoder.ack, tags))
        together = self._encoder.ack(tags[older - 1], multiple=True)
        return b"".join((together, *map(self._encoder.ack, tags[older:])))

    def flush(self) -> None:
        """Send what was settled, before aiormq sends anything else."""
        self._tap.flush(even_if_full=True)

    def close(self) -> None:
        """Settle and send nothing more."""
        self.sending.close()
        self._is_open = False

    def _method(self, method: int, data: bytes, at: int) -> bool:
        if method != DELIVER:
            return False
        end = at + 1 + data[at]
        tag, redelivered = tag_and_bits.unpack_from(data, end)
        self._announced = data[at + 1 : end], tag, redelivered == 1
        return True

    def _message(self, announced: _Announced, header: bytes, body: bytes) -> None:
        consumer, tag, redelivered = announced
        if tag != self._last_tag + 1:
            self._are_all_seen = False  # what a basic.get has taken, for example, may be held
        self._last_tag = tag
        on_received, is_acked = self._consumers.get(consumer, _GONE)
        if is_acked:
            self._held[tag] = None
        if on_received is None:
            return  # cancelled; the message stays unacked until the channel closes
        try:
            # Each delivery has a context for itself, as in a task.
            received = Received(tag, redelivered, properties_of(header), body)
            self._context.copy().run(on_received, received)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a delivery was not taken", "exception": error}
            )
