"""Consumes on a channel that aiormq has opened: deliveries and settlements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import msgspec

from bridge.broker.fast_path.codec import DELIVER, Encoder, properties_of, tag_and_bits
from bridge.broker.fast_path.contents import Contents
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


class Consuming(Contents[_Announced]):
    """The deliveries of one channel. aiormq declares its consumers and answers everything else."""

    def __init__(self, tap: Tap, channel: int) -> None:
        super().__init__()
        self._tap = tap
        self._encoder = Encoder(channel, 0)
        self._consumers: dict[bytes, OnReceived] = {}
        self._is_open = True
        # Each delivery has a context for itself, as in a task.
        self._context = copy_context()
        tap.attach(channel, self)

    def on(self, consumer: str, on_received: OnReceived) -> None:
        """Pass the deliveries of a consumer tag to `on_received`. Call it before consuming."""
        self._consumers[consumer.encode()] = on_received

    def settle(self, tag: int, *, requeue: bool = False) -> None:
        """Ack one delivery, or return it to its queue. Does nothing once the channel has closed."""
        if self._is_open:
            self._tap.write(self._encoder.requeue(tag) if requeue else self._encoder.ack(tag))

    def flush(self) -> None:
        """Send what was settled, before aiormq sends anything else."""
        self._tap.flush(even_if_full=True)

    def close(self) -> None:
        """Settle nothing more."""
        self._is_open = False

    def _method(self, method: int, data: bytes, at: int) -> bool:
        if method != DELIVER:
            return False
        end = at + 1 + data[at]
        tag, redelivered = tag_and_bits.unpack_from(data, end)
        self._announced = (data[at + 1 : end], tag, bool(redelivered))
        return True

    def _message(self, announced: _Announced, header: bytes, body: bytes) -> None:
        consumer, tag, redelivered = announced
        on_received = self._consumers.get(consumer)
        if on_received is None:
            return  # cancelled; the message stays unacked until the channel closes
        try:
            received = Received(tag, redelivered, properties_of(header), body)
            self._context.copy().run(on_received, received)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a delivery was not taken", "exception": error}
            )
