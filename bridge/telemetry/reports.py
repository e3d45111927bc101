"""Reports of a process to monitors: the messages it holds, and its recent activity.

The broker knows how many messages wait in a queue, but not how old they are or how long a turn
takes. So each process publishes a report every `EVERY` seconds on the exchange `<ns>.reports`,
without confirms. Without a bound monitor, the broker drops them: nothing waits and nothing is
stored. The last report of a process that ends says so; a killed one does not send it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Annotated

import msgspec

from bridge.errors import BrokerError, MessageError
from bridge.messages import UNREADABLE
from bridge.messages.numbers import Count, Time
from bridge.telemetry.readings import Readings, readings
from bridge.telemetry.sketches import HIGHEST, LOWEST

EVERY = 2.0
"""Seconds between two reports."""
WINDOW = 15.0
"""Seconds of activity that a report covers."""
MOST_SECONDS = 60.0
"""Seconds at most between two reports, and that one covers."""
KEY = "report"
"""Routing key and AMQP `type` of a report."""
FAREWELL = 0.5
"""Seconds that the last report of a process may take."""


Period = Annotated[float, msgspec.Meta(ge=0.0, le=MOST_SECONDS)]
Name = Annotated[str, msgspec.Meta(max_length=1024)]
Bucket = Annotated[int, msgspec.Meta(ge=LOWEST, le=HIGHEST)]


class HeldMessages(msgspec.Struct, frozen=True, array_like=True):
    """The unsettled messages that a process holds of one queue."""

    number: Count
    oldest_at: Time
    """Unix time of the oldest message."""


class Consuming(msgspec.Struct, frozen=True):
    """A flow, or one channel of the replies, that a process consumes."""

    flow: Name
    channel: Name
    lanes: Count
    slots: Count
    busy: Count
    """Slots in use."""
    paused: bool
    """True while the circuit breaker holds back calls."""
    held: dict[str, HeldMessages]
    """Queue → messages held; queues without held messages are left out."""
    partitions: Count = 0
    """How many partitions it consumes or stands by for; 0: unknown."""
    why: str = ""
    """If paused: why."""
    since: Time = 0.0
    """If paused: since when (Unix time)."""
    next_at: Time = 0.0
    """If paused: when the next probe is due (Unix time); 0 if nothing waits for one."""
    stopped: bool = False
    """True while an operator has paused it."""
    quiet: Count = 0
    """Lanes that wait until their conversation is quiet: no backlog."""
    paced: Count = 0
    """Lanes that wait for a rate limit,"""
    retrying: Count = 0
    """and those that wait for their next attempt after a failure."""
    failing: Name = ""
    """The cause of the latest such failure: the HTTP status or class of its error."""
    turn_error: Name = ""
    """The latest error that Rasa logged in a turn, and did not raise,"""
    turn_error_at: Time = 0.0
    """and when that turn ended (Unix time)."""
    overflowed: dict[str, Count] = {}
    """Queue → messages of its stalled lanes that are in overflow queues."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """The increase of one metric sample within the window of a report."""

    name: Name
    """As on /metrics, without `rasa_bridge_`."""
    labels: dict[str, str]
    increase: Annotated[float, msgspec.Meta(ge=0.0, le=1e15)]


class Sketch(msgspec.Struct, frozen=True, array_like=True):
    """The durations observed within the window of a report (`sketches`)."""

    name: str
    """As on /metrics, without `rasa_bridge_` and `_seconds`."""
    labels: dict[str, str]
    counts: dict[Bucket, Count]
    """Bucket → number of durations in it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one process. Times are Unix seconds, durations seconds.

    Every broker user may write one, so numbers that no process reports are refused: a monitor
    calculates with them.
    """

    name: Name
    """The name of the process (`role.process_name`), from which its consumer priorities follow."""
    started_at: Time
    at: Time
    every: Period
    """Seconds until the next report."""
    window: Period
    """Seconds that `samples` cover: `WINDOW`, or less soon after the start."""
    consuming: list[Consuming]
    samples: list[Sample]
    sketches: list[Sketch] = []
    model: Name = ""
    """The model that answers, if the process has one."""
    ended: bool = False
    """The process ends on purpose, and this is its last report."""

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
    except UNREADABLE as error:
        raise MessageError(f"not a valid report: {error}") from error


class Reporter:
    """Sends a report of this process every `EVERY` seconds; `run` it beside the links."""

    def __init__(
        self,
        name: str,
        send: Callable[[bytes], Awaitable[None]],
        consuming: Sequence[Callable[[], Consuming]] = (),
        model: Callable[[], str] | None = None,
    ) -> None:
        """`send` publishes a report, or raises BrokerError.

        Each of `consuming` describes one consumer of this process; `model` names its model.
        """
        self._name = name
        self._send = send
        self._consuming = consuming
        self._model = model
        self._started_at = time.time()
        self._readings: deque[tuple[float, Readings]] = deque([(time.monotonic(), readings())])

    async def run(self) -> None:
        """Report until cancelled. A report that cannot be published is dropped."""
        try:
            while True:
                await asyncio.sleep(EVERY)
                with suppress(BrokerError):  # no broker: the links log that
                    await self._send(msgspec.json.encode(self.report()))
        finally:
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        report = msgspec.structs.replace(self.report(), ended=True)
        with suppress(BrokerError, asyncio.TimeoutError):
            await asyncio.wait_for(self._send(msgspec.json.encode(report)), FAREWELL)

    def report(self) -> Report:
        """Return a report of the current state."""
        now = time.monotonic()
        latest = readings()
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
                Sample(name, dict(labels), value - before.samples.get((name, labels), 0.0))
                for (name, labels), value in latest.samples.items()
                if value != before.samples.get((name, labels), 0.0)
            ],
            sketches=[
                Sketch(name, dict(labels), counts - before.sketches.get((name, labels), Counter()))
                for (name, labels), counts in latest.sketches.items()
                if counts != before.sketches.get((name, labels))
            ],
        )
