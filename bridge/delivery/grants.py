"""The calls that a process may make on a rate-limited channel. No AMQP.

Each call waits for a moment that the pacer has promised (`bridge.delivery.pacer`). Moments are not
stored: one that is late by more than the limit's reserve absorbs is lost. While the limit is far
away, a lease (`bridge.delivery.leases`) spares most calls that: a process asks every 0.75 s. If
there is none, it asks for the calls, too, that it will probably make until a moment is too old.

An alarm of the broker blocks requests and answers. Replies must still be delivered: their backlog
may have caused it. So each process uses its share of the rate then, that of the partitions of which
it holds messages. A partition has one active consumer, so all shares are the whole at most.
"""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from collections.abc import Callable
from random import Random

from bridge.broker.health import now
from bridge.connectors.limits import RateLimit
from bridge.delivery.leases import Lease
from bridge.delivery.pacer import RESUME, Grant, late
from bridge.delivery.pacers_clock import PacersClock
from bridge.delivery.stall import Stall
from bridge.telemetry import metrics

RENEW = 1.0
"""Seconds, roughly, after which a request without an answer is repeated."""
VALID = 3.0
"""Seconds after which a request is not answered any more."""
LOOK = 0.02
"""Seconds between two looks of calls that need not wait whether there is an alarm. An alarm that
this misses is over before any process uses its share."""
ALARM_CHECK, STALL_CHECK = 0.1, 0.02
"""Seconds between two looks whether the alarm is over, and whether the service answers again."""
MOST_AHEAD = 100
"""Calls for which a process asks before it has them, at most."""
COUNTED = 0.2
"""Seconds, at least, in which calls are counted to know how many will come."""
SPARE = 2.0
"""A lease is wanted for so many times these calls."""


class Grants:
    """The moments of one process and channel, and the calls that wait for them."""

    def __init__(
        self,
        channel: str,
        limit: RateLimit,
        ask: Callable[[int, int, int, float], None],
        share: Callable[[], float],
        blocked: Callable[[], bool],
        clock: Callable[[], float] = now,
        random: Random | None = None,
    ) -> None:
        """`ask(number, calls, alarm, lease)` sends a request, if that is possible now. `alarm` is
        the number of the alarm during which the process used its share until now, or 0. `lease` is
        the calls per second for which a lease is wanted.

        `share()` is the number of calls per second without the pacer, `blocked()` whether there is
        an alarm.
        """
        self._late = late(limit)
        self.stall = Stall(self._late)
        """To be told of every call."""
        self.made_at = 0.0
        """When the latest call was allowed: it is made at once."""
        self._ask = ask
        self._share = share
        self._blocked = blocked
        self._clock = clock
        self._random = random or Random()
        self._waited = metrics.pace.labels(channel, "channel")
        self._waiting: dict[asyncio.Future[float], None] = {}
        """The calls that wait, in their order."""
        self._moments: list[float] = []
        self._lease = Lease()
        self._number = 0
        self._sent: dict[int, float] = {}
        """Number of a request that may be answered → when it was sent."""
        self._renew_at = 0.0
        """When the next request may be sent."""
        self._look_at = 0.0
        """When to look next whether there is an alarm."""
        self._made = 0
        """The calls that passed"""
        self._since = clock()
        """since then,"""
        self._usual = 0.0
        """and how many passed in a second before that."""
        self._is_ample = False
        """Whether the latest answer had all that was asked for at once: the limit is far away."""
        self._pacers_clock = PacersClock(self._late)
        self._own_from: float | None = None
        """During an alarm: from when on the own share is used."""
        self._own_at = 0.0
        """The next moment of the own share."""
        self._after_alarm = False
        self._alarms = 0
        """Alarms so far."""
        self._closed: Callable[[], Exception] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return len(self._waiting)

    async def take(self) -> float:
        """Return when a call may be made: then make it at once. Return the seconds that this took.

        Raises:
            Exception: as passed to `refuse` or `close`.
        """
        if self.take_now():
            return 0.0
        since = self._clock()
        # If the process stood still after the moment had come, the moment is lost.
        while await self._granted() < (time := self._clock()) - self._late:
            pass
        self.made_at = time
        self._waited.observe(time - since)
        return time - since

    def take_now(self) -> bool:
        """Return whether a call may be made now, by a lease or a moment; if so, make it at once."""
        if self._waiting or self._closed is not None:
            return False
        time = self._clock()
        if time >= self._look_at:
            if self._blocked():
                return False
            self._look_at = time + LOOK
        stall = self.stall
        is_slow = stall.unanswered and time > stall.unanswered[0] + stall.patience
        if is_slow and stall.stands_still(time):
            return False
        if not (self._moments and self._take_moment(time)) and not self._lease.take(time):
            return False  # as during an alarm
        self._made += 1
        self._waited.zeros += 1
        if time >= self._lease.renew_at:
            self._ask_for(0, time)
        self.made_at = time
        return True

    def _take_moment(self, time: float) -> bool:
        """Return whether a moment has come, and is not too late; then use it."""
        moments = self._moments
        while moments and moments[0] <= time:
            if moments.pop(0) >= time - self._late:
                return True
        return False

    def _has_call(self, time: float) -> bool:
        """Return whether the lease has a call, or a moment has come."""
        if self._lease.next(time) <= time:
            return True
        self._drop_late(time)
        return bool(self._moments) and self._moments[0] <= time

    def _use_call(self, time: float) -> float:
        """Use the moment, or the lease; return the moment."""
        if self._moments and self._moments[0] <= time:
            return self._moments.pop(0)
        self._lease.spend(time)
        return time

    async def _granted(self) -> float:
        """Return the next moment, once it has come."""
        if self._closed is not None:
            raise self._closed()
        granted: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[granted] = None
        self._go_on()
        try:
            return await granted
        finally:
            self._waiting.pop(granted, None)

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Raise an error in every call that waits."""
        waiting, self._waiting = self._waiting, {}
        for granted in waiting:
            if not granted.done():
                granted.set_exception(error())

    def close(self, error: Callable[[], Exception]) -> None:
        """Raise an error in every call that waits, and in all further ones."""
        self._closed = error
        self.refuse(error)

    def connected(self) -> None:
        """Note that requests can be sent and answered from now on."""
        self._sent.clear()
        self._renew_at = 0.0
        self._go_on()

    def granted(self, grant: Grant) -> None:
        """Take the moments of an answer."""
        time = self._clock()
        sent = self._sent.pop(grant.number, None)
        if grant.number == self._number:
            self._renew_at = time
            self._after_alarm = False
            self._is_ample = bool(grant.moments) and grant.moments[-1] <= 0
            if sent is not None:
                self._lease.granted(grant.rate, grant.burst, sent, time)
        if sent is not None and time - sent < VALID:
            for moment in self._pacers_clock.moments(grant, sent, time):
                insort(self._moments, moment)
        self._go_on()

    def _go_on(self) -> None:
        """Let the calls pass whose moment has come, and see to it that more moments come."""
        time = self._clock()
        wake_at = self._use_share(time) if self._blocked() else self._use_moments(time)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            delay = max(0.0, wake_at - time)
            self._timer = asyncio.get_running_loop().call_later(delay, self._go_on)

    def _use_moments(self, time: float) -> float:
        """Return when to look again."""
        if self._own_from is not None:
            self._own_from = None
            self._after_alarm = True
            self._alarms += 1
        self._drop_late(time)
        while self._waiting and self._has_call(time):
            if not self.stall.lets_pass(time):
                return time + STALL_CHECK
            self._pass_first(self._use_call(time))
        missing = max(0, len(self._waiting) - len(self._moments) - self._lease.soon(time))
        if missing > 0 or time >= self._lease.renew_at:
            self._ask_for(missing, time)
        comes = [*self._moments[:1], self._lease.next(time)]
        return min([*comes, *([self._renew_at] if missing > 0 else [])])

    def _ask_for(self, missing: int, time: float) -> None:
        """Send a request for calls, unless another one is under way."""
        if time < self._renew_at:
            return
        self._number += 1
        self._renew_at = time + RENEW * self._random.uniform(0.75, 1.25)
        self._sent = {n: at for n, at in self._sent.items() if time - at < VALID}
        self._sent[self._number] = time
        wanted = 0.0
        if time - self._since >= COUNTED:
            self._usual = self._made / (time - self._since)
            self._since, self._made = time, 0
            wanted = SPARE * self._usual + 1
        elif not self._lease.lasts(time):
            wanted = 1.0
        calls = missing + self._probably(time) if missing and self._pacers_clock.is_known else 0
        self._ask(self._number, calls, self._alarms if self._after_alarm else 0, wanted)

    def _drop_late(self, time: float) -> None:
        while self._moments and self._moments[0] < time - self._late:
            del self._moments[0]

    def _probably(self, time: float) -> int:
        """Return how many more calls can use moments of now, judging by the latest ones."""
        return min(MOST_AHEAD, round(self._usual * self._late)) if self._is_ample else 0

    def _use_share(self, time: float) -> float:
        """Return when to look again."""
        self._moments.clear()
        self._lease.drop()
        self._sent.clear()
        self._renew_at = 0.0
        if self._own_from is None:
            # Moments that were promised before the alarm pass first.
            self._own_from = time + RESUME
            self._own_at = math.inf
        share = self._share()
        if not self._waiting or share <= 0:
            return time + ALARM_CHECK
        if self._own_at == math.inf or time > self._own_at + 1 / share:
            # Nothing waited: unused calls are not stored. Nor does each process begin with one.
            self._own_at = max(time, self._own_from) + 1 / share
        elif time >= self._own_at:
            # A call that is late delays the next one: its time is not stored either.
            self._own_at = max(self._own_at, time - self._late) + 1 / share
            self._pass_first(time)
        return min(time + ALARM_CHECK, self._own_at)

    def _pass_first(self, moment: float) -> None:
        while self._waiting:
            granted = next(iter(self._waiting))
            del self._waiting[granted]
            if not granted.done():  # else its call was cancelled
                self._made += 1
                granted.set_result(moment)
                return
