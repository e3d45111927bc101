"""What a process says of itself, for whoever watches: which messages it holds, what it did lately.

The broker knows how many messages wait in a queue, not how old they are, nor how long a turn takes.
So each process publishes a report every `EVERY` seconds on the exchange `<ns>.reports`. With nobody
bound to it, the broker drops them: nothing waits, nothing is stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from bridge.errors import BrokerError, MessageError
from bridge.telemetry import metrics

EVERY = 2.0
WINDOW = 15.0
"""Seconds over which a report counts what was done."""
KEY = "report"
"""Routing key and AMQP `type` of a report."""


class HeldMessages(msgspec.Struct, frozen=True, array_like=True):
    """The unsettled messages of one queue that a process holds."""

    number: int
    oldest_at: float
    """Unix time of the oldest one."""


class Consuming(msgspec.Struct, frozen=True):
    """One flow, or one channel of the replies, that a process consumes."""

    flow: str
    channel: str
    lanes: int
    slots: int
    busy: int
    """Slots that are held."""
    paused: bool
    """Calls are held back, since the service is down."""
    held: dict[str, HeldMessages]
    """Queue → what is held of it; queues of which nothing is held are left out."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """How much one sample of a metric grew within the window of a report."""

    name: str
    """As in /metrics, without `rasa_bridge_`; histograms have cumulative buckets."""
    labels: dict[str, str]
    increase: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """The process's, see `role.process_name`: its priority on each queue follows from it."""
    started_at: float
    at: float
    every: float
    """Seconds until the next one."""
    window: float
    """Seconds that `samples` cover; less than `WINDOW` soon after the start."""
    consuming: list[Consuming]
    samples: list[Sample]

    @property
    def role(self) -> str:
        return self.name.partition(" ")[0]


_decoder = msgspec.json.Decoder(Report)


def decode(body: bytes) -> Report:
    """Return the report that a body holds.

    Raises:
        MessageError: it holds none.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a valid report: {error}") from error


class Publishes(Protocol):
    """The part of `links.Publisher` that reports need."""

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, **properties: Any
    ) -> None: ...


class Reporter:
    """Publishes a report on this process every `EVERY` seconds; `run` it beside the links."""

    def __init__(
        self,
        name: str,
        publisher: Publishes,
        exchange: str,
        consuming: Sequence[Callable[[], Consuming]] = (),
    ) -> None:
        """`consuming` tell what this process consumes."""
        self._name = name
        self._publisher = publisher
        self._exchange = exchange
        self._consuming = consuming
        self._started_at = time.time()
        self._readings: deque[tuple[float, metrics.Readings]] = deque(
            [(time.monotonic(), metrics.readings())]
        )

    async def run(self) -> None:
        """Report until cancelled. A report that cannot be published is left out."""
        while True:
            await asyncio.sleep(EVERY)
            body = msgspec.json.encode(self.report())
            try:
                await self._publisher.publish(
                    self._exchange, KEY, body, kind=KEY, message_id=self._name
                )
            except BrokerError:  # nobody watches, or there is no broker: links say so
                continue

    def report(self) -> Report:
        """Return the report of this moment."""
        now = time.monotonic()
        latest = metrics.readings()
        while len(self._readings) > 1 and now - self._readings[1][0] >= WINDOW:
            self._readings.popleft()
        began, before = self._readings[0]
        self._readings.append((now, latest))
        return Report(
            name=self._name,
            started_at=self._started_at,
            at=time.time(),
            every=EVERY,
            window=now - began,
            consuming=[consuming() for consuming in self._consuming],
            samples=[
                Sample(name, dict(labels), value - before.get((name, labels), 0.0))
                for (name, labels), value in latest.items()
                if value != before.get((name, labels), 0.0)
            ],
        )
