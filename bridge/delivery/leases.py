"""Leases: a part of a channel's rate that one process uses without asking for each call. No I/O.

While the limit is far away, the pacer leases up to `SHARE` of the rate, and a part of the burst's
reserve. Each lease is a token bucket for itself, and the pacer promises only the rest of the rate,
so all buckets together never exceed the limit. A lease counts from when its request was *sent* for
the process, and from when it was *answered* for the pacer. So no clocks are compared, and it ends
for the process first, however long the answer takes and wherever the process is frozen.

A new pacer does not know the leases of its predecessor. For as long as one may last, it takes all
that may be leased for leased. That costs a quarter of a second of the rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.connectors.limits import RateLimit

LEASE = 1.0
"""Seconds that a lease lasts."""
RENEW_AT = 0.75
"""Seconds after which a call asks for its renewal."""
SOON = 0.02
"""Seconds within which an answer seldom comes: calls that the lease has by then wait for it."""
SHARE = 0.25
"""Share of the rate that may be leased, to all processes together."""
BURST_SHARE = 0.25
"""The same of the burst. The pacer promises a third of the burst itself."""
LEAST = 1 / 8
"""Share of what may be leased that a process gets at least, if so much is left."""


def leasable(limit: RateLimit, promised: RateLimit) -> RateLimit:
    """Return what may be leased of a limit, of which the pacer promises a part."""
    burst = int(limit.burst * BURST_SHARE)
    return RateLimit(promised.rate * SHARE if burst else 0.0, burst)


@dataclass(frozen=True)
class _Leased(RateLimit):
    until: float = math.inf


class Leases:
    """What a pacer has leased."""

    def __init__(self, most: RateLimit) -> None:
        """`most`: what may be leased to all processes together; see `leasable`."""
        self._most = most
        self._leases: dict[str, list[_Leased]] = {}
        """Process → its leases that last. It uses one of them, and is taken to use the largest: it
        may not know of the latest yet."""

    @property
    def rate(self) -> float:
        """Calls per second that are leased."""
        return sum(max(it.rate for it in leases) for leases in self._leases.values())

    @property
    def burst(self) -> int:
        """The burst that is leased."""
        return sum(max(it.burst for it in leases) for leases in self._leases.values())

    def suppose_all(self, time: float) -> None:
        """Note that another pacer may have leased everything until now."""
        everything = _Leased(self._most.rate, self._most.burst, time + LEASE)
        self._leases = {"": [everything]} if self._most.burst else {}

    def end(self, time: float) -> bool:
        """Forget leases that are over; return whether less is leased now."""
        before = self.rate
        lasting = {
            process: [lease for lease in leases if lease.until > time]
            for process, leases in self._leases.items()
        }
        self._leases = {process: leases for process, leases in lasting.items() if leases}
        return self.rate < before

    def grant(self, process: str, wanted: float, time: float) -> RateLimit | None:
        """Begin or renew the lease of a process that wants so many calls per second."""
        former = self._leases.pop(process, [])
        left, least = self._most.rate - self.rate, self._most.rate * LEAST
        # What is wanted is not known well after a pause. The renewal gives back what is too much.
        rate = min(left, max(wanted, least, 0.0 if former else left / 2))
        burst = math.ceil(self._most.burst * rate / self._most.rate) if rate > least / 2 else 0
        burst = min(self._most.burst - self.burst, burst)
        lease = _Leased(rate, burst, time + LEASE) if burst > 0 else None
        lasting = [*former, *([lease] if lease else [])]
        if lasting:
            self._leases[process] = lasting
        return lease


class Lease:
    """The lease of this process: a token bucket until it is over. It begins empty."""

    def __init__(self) -> None:
        self.renew_at = math.inf
        """From when on a call asks for the renewal."""
        self._interval = 0.0
        """Seconds in which it fills by one call."""
        self._full = 0.0
        """Seconds in which it fills up."""
        self._until = -math.inf
        self._empty_at = 0.0
        """When it was empty, as if no burst limited it: all that there is to know of a bucket."""

    def granted(self, rate: float, burst: int, sent: float, time: float) -> None:
        """Note the answer, at `time`, to a request that was sent at `sent`; a rate of 0: none."""
        if rate <= 0 or sent + LEASE <= time:
            # A lease that there was lasts until its end. If its renewal was refused, that is all.
            if self.renew_at <= sent:
                self.renew_at = math.inf
            return
        calls = self._filled_for(time) / self._interval if time < self._until else 0.0
        self._interval, self._full = 1 / rate, burst / rate
        self._empty_at = time - calls * self._interval
        self._until, self.renew_at = sent + LEASE, sent + RENEW_AT

    def drop(self) -> None:
        """Use it no more."""
        self._until, self.renew_at = -math.inf, math.inf

    def lasts(self, time: float) -> bool:
        """Whether it is not over."""
        return time < self._until

    def next(self, time: float) -> float:
        """Return when the next call may be made, at the earliest `time`; infinity: never."""
        if time >= self._until:
            return math.inf
        at = self._empty_at + self._interval
        if at <= time + _ROUNDING:
            return time
        return at if at < self._until else math.inf

    def soon(self, time: float) -> int:
        """Return how many calls may be made within `SOON` seconds."""
        if self.next(time) == math.inf:
            return 0
        return int((min(time + SOON, self._until) - self._empty_at) / self._interval)

    def spend(self, time: float) -> None:
        """Note that a call is made, which was allowed by `next`."""
        self._empty_at = max(self._empty_at, time - self._full) + self._interval

    def take(self, time: float) -> bool:
        """Return whether a call may be made now; then it must be made. As `next` and `spend`."""
        empty_at = self._empty_at
        if time >= self._until or empty_at + self._interval > time + _ROUNDING:
            return False
        full = time - self._full
        self._empty_at = (empty_at if empty_at > full else full) + self._interval
        return True

    def _filled_for(self, time: float) -> float:
        """Return for how long it has been filling since it was empty."""
        return min(self._full, time - self._empty_at)


_ROUNDING = 1e-7
"""Seconds."""
