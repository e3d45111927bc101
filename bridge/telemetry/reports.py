"""Reports of a process to monitors: the messages it holds, and its recent activity.

The broker knows how many messages wait in a queue, but not how old they are or how long a turn
takes. So each process publishes a report every `EVERY` seconds on the exchange `<ns>.reports`.
Without a bound monitor, the broker drops them: nothing waits and nothing is stored.
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
"""Seconds between two reports."""
WINDOW = 15.0
"""Seconds of activity that a report covers."""
KEY = "report"
"""Routing key and AMQP `type` of a report."""


class HeldMessages(msgspec.Struct, frozen=True, array_like=True):
    """The unsettled messages that a process holds of one queue."""

    number: int
    oldest_at: float
    """Unix time of the oldest message."""


class Consuming(msgspec.Struct, frozen=True):
    """A flow, or one channel of the replies, that a process consumes."""

    flow: str
    channel: str
    lanes: int
    slots: int
    busy: int
    """Slots in use."""
    paused: bool
    """True while the circuit breaker holds back calls."""
    held: dict[str, HeldMessages]
    """Queue → messages held; queues without held messages are left out."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """The increase of one metric sample within the window of a report."""

    name: str
    """As on /metrics, without `rasa_bridge_`; histogram buckets are cumulative."""
    labels: dict[str, str]
    increase: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one process. Times are Unix seconds, durations seconds."""

    name: str
    """The name of the process (`role.process_name`), from which its consumer priorities follow."""
    started_at: float
    at: float
    every: float
    """Seconds until the next report."""
    window: float
    """Seconds that `samples` cover: `WINDOW`, or less soon after the start."""
    consuming: list[Consuming]
    samples: list[Sample]
    model: str = ""
    """The model that answers, if the process has one."""

    @property
    def role(self) -> str:
        return self.name.partition(" ")[0]


_decoder = msgspec.json.Decoder(Report)


def decode(body: bytes) -> Report:
    """Return the report in a body.

    Raises:
        MessageError: the body is not a report.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a valid report: {error}") from error


class Publishes(Protocol):
    """The part of `broker.publisher.Publisher` that reports need."""

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, **properties: Any
    ) -> None: ...


class Reporter:
    """Publishes a report of this process every `EVERY` seconds; `run` it beside the links."""

    def __init__(
        self,
        name: str,
        publisher: Publishes,
        exchange: str,
        consuming: Sequence[Callable[[], Consuming]] = (),
        model: Callable[[], str] | None = None,
    ) -> None:
        """Each of `consuming` describes one consumer of this process; `model` names its model."""
        self._name = name
        self._publisher = publisher
        self._exchange = exchange
        self._consuming = consuming
        self._model = model
        self._started_at = time.time()
        self._readings: deque[tuple[float, metrics.Readings]] = deque(
            [(time.monotonic(), metrics.readings())]
        )

    async def run(self) -> None:
        """Report until cancelled. A report that cannot be published is dropped."""
        while True:
            await asyncio.sleep(EVERY)
            body = msgspec.json.encode(self.report())
            try:
                await self._publisher.publish(
                    self._exchange, KEY, body, kind=KEY, message_id=self._name
                )
            except BrokerError:  # no monitor is bound, or no broker: the links log that
                continue

    def report(self) -> Report:
        """Return a report of the current state."""
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
            model=self._model() if self._model else "",
            samples=[
                Sample(name, dict(labels), value - before.get((name, labels), 0.0))
                for (name, labels), value in latest.items()
                if value != before.get((name, labels), 0.0)
            ],
        )
