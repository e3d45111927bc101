"""The pacer of a channel: shares the channel's rate among all `deliver` processes. No AMQP.

Every `deliver` process consumes the channel's pace queue, whose single active consumer is the
pacer. It answers each request for calls with the moments at which they may be made. All moments
come from one token bucket, so the processes together keep the limit:

- A pacer that is new, or that was silent, starts as if its predecessor had just promised all that
  it may. So the promises of both keep the limit together.
- Only moments of the next `AHEAD` seconds are promised. What a process that dies does not use is
  lost, and so little.
- `RESERVE` of the rate, and two thirds of the burst, are not promised. They absorb the differences
  between the times that calls take to reach the service.

While the limit is far away, it also leases a part of the rate (`leases`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from bridge.broker.health import now
from bridge.connectors.limits import RateLimit
from bridge.delivery.leases import Leases, leasable

AHEAD = 0.2
"""Seconds: how far ahead moments are promised."""
EARLY = 0.12
"""Seconds before its first moment at which a request is answered: time for the way of the answer.
The rest of `AHEAD` is what one answer may hold, so it limits the number of answers."""
RESERVE = 0.05
"""Share of the rate that is not used."""
TICK = 0.2
"""Seconds between two looks at the clock."""
SILENCE = 0.5
"""Seconds without a look after which the process was frozen: another may have been the pacer."""
LATEST = 0.25
"""Maximum seconds for which a moment may be late."""
NOW = 1e-6
"""Seconds below which a moment has come: sums of floats are not exact."""
RESUME = 0.5
"""Seconds without a promise after an alarm of the broker: within them, every process notices its
end, and stops using its share without the pacer (`bridge.delivery.grants`)."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A process asks for calls. It has one request at a time: a newer one replaces it."""

    number: int
    calls: int
    """0: only the time is asked for, or a lease."""
    answers: Annotated[str, msgspec.Meta(max_length=255)]
    """The queue for the answer, which also identifies the process."""
    after_alarm: bool = False
    """The process used its share without the pacer until now,"""
    alarm: int = 0
    """during an alarm with this number. A request that is repeated tells of the same one."""
    lease: float = 0.0
    """The calls per second for which the process wants a lease."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: when calls may be made."""

    number: int
    pacer: str
    """The process whose clock the times belong to."""
    asked_at: float
    """When the request arrived,"""
    at: float
    """and when it was answered."""
    moments: list[float]
    """When calls may be made, in seconds after `at`."""
    rate: float = 0.0
    """Calls per second of the lease; 0: there is none, or it is not renewed."""
    burst: int = 0
    """Its burst."""


def used(limit: RateLimit) -> RateLimit:
    """Return the part of a limit that is promised."""
    return RateLimit(limit.rate * (1 - RESERVE), max(1, limit.burst // 3))


def late(limit: RateLimit) -> float:
    """Return for how many seconds a moment may be late without breaking the limit.

    The unpromised part of a second absorbs that; half of it is left to the network and the service.
    Calls whose lateness differs by less than an interval break no limit at all.
    """
    promised = used(limit)
    leased = leasable(limit, promised).burst
    spare = limit.rate + limit.burst - promised.rate - promised.burst - leased
    return min(LATEST, max(spare / promised.rate / 2, promised.interval))


@dataclass(frozen=True)
class _Waiting:
    request: Request
    done: Callable[[], None]
    since: float


class Pacer:
    """Answers requests while this process is the pacer; idle otherwise."""

    def __init__(
        self,
        name: str,
        limit: RateLimit,
        answer: Callable[[str, Grant], None],
        clock: Callable[[], float] = now,
    ) -> None:
        """`name` is that of the process; `answer(queue, grant)` sends an answer."""
        self._name = name
        self._used = self._limit = used(limit)
        """What is promised and leased, and what is promised."""
        self._leases = Leases(leasable(limit, self._used))
        self._answer = answer
        self._clock = clock
        self._known: set[str] = set()
        """The processes that this pacer has answered."""
        self._alarms: dict[str, int] = {}
        """The alarm that the unanswered request of a process tells of."""
        self._requests: OrderedDict[str, _Waiting] = OrderedDict()
        self._full_at = 0.0
        """When the bucket is full: its level, as in `recipients`."""
        self._looked_at = clock()
        self._is_active = False
        """Whether a request has come since this process last became a candidate. The broker does
        not tell a consumer that it is the active one, but only that one receives requests."""
        self._timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Note that this process is not the pacer any more: the requests go to the next one."""
        self._is_active = False
        self._requests.clear()
        self._known.clear()
        self._alarms.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def asked(self, request: Request, done: Callable[[], None]) -> None:
        """Take on a request. `done()` is called once it is answered, or replaced."""
        self._notice_silence()
        if not self._is_active:
            self._is_active = True
            self._empty(AHEAD)
        if request.after_alarm and self._alarms.get(request.answers) != request.alarm:
            self._alarms[request.answers] = request.alarm
            self._empty(RESUME)
        waiting = self._requests.get(request.answers)
        if waiting is not None:
            waiting.done()
        if request.answers not in self._known or not request.calls:
            # Its process does not know this clock yet, and so cannot use moments.
            self._known.add(request.answers)
            self._requests.pop(request.answers, None)
            self._send(request, self._clock(), [])
            done()
        else:
            self._requests[request.answers] = _Waiting(request, done, self._clock())
        self._look()

    def _empty(self, pause: float) -> None:
        """Empty the bucket, and promise nothing for the next `pause` seconds."""
        time = self._clock()
        self._leases.suppose_all(time)
        self._promise_the_rest(time)
        empty_at = time + pause + self._limit.burst * self._limit.interval
        self._full_at = max(self._full_at, empty_at)

    def _notice_silence(self) -> None:
        time = self._clock()
        if time - self._looked_at > SILENCE:
            self._empty(AHEAD)
        self._looked_at = time
        if self._leases.end(time):
            self._promise_the_rest(time)

    def _promise_the_rest(self, time: float) -> None:
        """From now on, fill the bucket with the part of the rate that is not leased."""
        missing = max(0.0, self._full_at - time) * self._limit.rate
        self._limit = RateLimit(self._used.rate - self._leases.rate, self._used.burst)
        self._full_at = time + missing * self._limit.interval

    def _look(self) -> None:
        """Answer what is due, and set the timer for the next look."""
        self._notice_silence()
        time = self._clock()
        while self._requests and self._next() <= time + EARLY:
            _, waiting = self._requests.popitem(last=False)
            moments = self._promised(waiting.request.calls, time)
            self._send(waiting.request, waiting.since, moments)
            waiting.done()
        delay = min(TICK, self._next() - EARLY - time) if self._requests else TICK
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, delay), self._look)

    def _send(self, request: Request, asked_at: float, moments: list[float]) -> None:
        at = self._clock()
        self._alarms.pop(request.answers, None)
        lease = self._leased(request, at)
        grant = Grant(
            number=request.number,
            pacer=self._name,
            asked_at=asked_at,
            at=at,
            moments=moments,
            rate=lease.rate if lease else 0.0,
            burst=lease.burst if lease else 0,
        )
        self._answer(request.answers, grant)

    def _leased(self, request: Request, time: float) -> RateLimit | None:
        """Lease a part of the rate, unless moments are promised that are still to come."""
        if request.lease <= 0 or self._next() - self._limit.interval > time + NOW:
            return None
        lease = self._leases.grant(request.answers, request.lease, time)
        if lease is not None:
            self._promise_the_rest(time)
        return lease

    def _next(self) -> float:
        """Return the next moment that is not promised; it may have passed."""
        return self._full_at - (self._limit.burst - 1) * self._limit.interval

    def _promised(self, calls: int, time: float) -> list[float]:
        """Promise up to `calls` moments of the next `AHEAD` seconds, at least one."""
        moments: list[float] = []
        interval, slack, full_at = self._limit.interval, self._limit.slack, self._full_at
        while not moments or (len(moments) < calls and full_at - slack <= time + AHEAD):
            moment = max(time, full_at - slack)
            full_at = max(full_at, moment) + interval
            moments.append(moment - time)
        self._full_at = full_at
        return moments
