"""Paces the calls to each recipient: one token bucket per recipient and limit. No I/O.

A recipient's replies are in one partition, and a partition has one active consumer, so the process
that holds the partition can count alone. It may have taken the partition over from a process that
has just used up a burst. So a recipient that it does not know starts with a third of its burst, or
with one call if another process has held its reply. The rest grows from the moment when the process
received the partition's first reply.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from bridge.broker.health import now
from bridge.connectors.limits import RateLimit
from bridge.messages import Reply
from bridge.telemetry import metrics

NOW = 1e-6
"""Seconds below which a delay is none: sums of floats are not exact."""
FEW = 1000
"""Recipients whose bucket is kept although it is full: most of them come again."""
REMEMBERED = 100_000
"""Maximum number of recipients whose bucket is not full again; beyond it, the oldest are
forgotten."""


class Recipients:
    """The pace of every recipient of one channel."""

    def __init__(
        self,
        channel: str,
        limits: Callable[[Reply], Sequence[RateLimit]] | None,
        recipient: Callable[[Reply], str],
        partition: Callable[[Reply], int],
        clock: Callable[[], float] = now,
    ) -> None:
        """The three functions return what applies to a reply: limits, recipient and partition.

        Without `limits`, no recipient is limited.
        """
        self._limits = limits
        self._recipient = recipient
        self._partition = partition
        self._clock = clock
        self._waited = metrics.pace.labels(channel, "recipient")
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._since: dict[int, float] = {}
        """Partition → when its first reply arrived."""
        self.reserved: dict[Hashable, _Bucket] = {}
        """Lane → the bucket in which its next call has a token."""
        self._held: dict[Hashable, float] = {}
        """Lane → until when it makes no call, because its recipient is away."""
        self._waiting: dict[Hashable, float] = {}
        """Lane → since when it waits."""
        self._time = 0.0
        """When the clock was read last: a token that was there then is there now."""

    @property
    def waiting(self) -> int:
        """The number of lanes that wait."""
        return len(self._waiting)

    def opened(self) -> None:
        """Forget everything: other processes may have served the recipients meanwhile."""
        for known in (self._buckets, self._since, self.reserved, self._held, self._waiting):
            known.clear()

    def wait(self, reply: Reply) -> float:
        """Return the seconds until the reply's lane may try again; 0: its next call may be made.

        A token is then reserved for that call, until `called` or `left`.
        """
        limits = self._limits(reply) if self._limits is not None else ()
        if not limits and not self._held:
            return 0.0
        lane = reply.lane()
        if lane in self.reserved:
            return 0.0
        if self._held and lane in self._held:
            if (left := self._held[lane] - self._clock()) > NOW:
                return left
            del self._held[lane]
        if not limits:
            return 0.0
        key = self._recipient(reply)
        bucket = self._buckets.get(key)
        if bucket is None or (bucket.limits is not limits and bucket.limits != limits):
            bucket = self._new_bucket(key, reply, limits, self._clock())
        if len(self._buckets) >= FEW:
            self._buckets.move_to_end(key)
        if bucket.reserved or bucket.free_at > self._time or self._waiting:
            time = self._time = self._clock()
            delay = bucket.delay(time)
            if delay > NOW:
                self._waiting.setdefault(lane, time)
                return delay
            if lane in self._waiting:
                self._waited.observe(time - self._waiting.pop(lane))
        bucket.reserved += 1
        self.reserved[lane] = bucket
        return 0.0

    def hold(self, reply: Reply, seconds: float) -> None:
        """Make no call for a lane before that time has passed."""
        self._held[reply.lane()] = self._clock() + seconds

    def called(self, lane: Hashable) -> None:
        """Note that a call is being made now: its token, if it has one, is spent."""
        bucket = self.reserved.pop(lane, None)
        if bucket is not None:
            bucket.reserved -= 1
            time = self._time = self._clock()
            bucket.spend(time)

    def left(self, lane: Hashable) -> None:
        """Note that the lane makes no call for now: its token, if it has one, is free again."""
        self._waiting.pop(lane, None)
        bucket = self.reserved.pop(lane, None)
        if bucket is not None:
            bucket.reserved -= 1

    def _new_bucket(
        self, key: str, reply: Reply, limits: Sequence[RateLimit], time: float
    ) -> _Bucket:
        since = self._since.setdefault(self._partition(reply), time)
        self._forget(time)
        bucket = self._buckets[key] = _Bucket(limits, since, is_suspect=reply.redelivered)
        return bucket

    def _forget(self, time: float) -> None:
        """Drop the oldest buckets that are full, which is what an unknown recipient has, too."""
        if len(self._buckets) < FEW:
            return
        for key in list(_first(self._buckets, 2)):
            if self._buckets[key].is_full(time) or len(self._buckets) >= REMEMBERED:
                del self._buckets[key]


class _Bucket:
    """The tokens of one recipient, for each of its limits.

    A bucket is stored as the time at which it has a token (the generic cell rate algorithm).
    """

    __slots__ = ("_terms", "free_at", "limits", "reserved")

    def __init__(self, limits: Sequence[RateLimit], since: float, is_suspect: bool) -> None:
        """At `since` it had a part of its tokens: only one if it `is_suspect`."""
        self.limits = limits
        self.reserved = 0
        """Tokens that are reserved."""
        self._terms = [
            [
                since + (1 - (1 if is_suspect else _first_burst(limit))) * limit.interval,
                limit.interval,
                limit.slack,
            ]
            for limit in limits
        ]
        """Of each limit: when it has a token, the seconds until the next one, and those until it is
        full."""
        self.free_at = self._free(1)
        """When there is a token, if none is reserved."""

    def delay(self, time: float) -> float:
        """Return the seconds until there is a token that is not reserved."""
        return (self._free(1 + self.reserved) if self.reserved else self.free_at) - time

    def _free(self, tokens: int) -> float:
        """Return when there are so many tokens."""
        return max(free_at + (tokens - 1) * interval for free_at, interval, _ in self._terms)

    def spend(self, time: float) -> None:
        latest = -math.inf
        for term in self._terms:
            free_at, interval, slack = term
            full = time - slack
            term[0] = free_at = (free_at if free_at > full else full) + interval
            if free_at > latest:
                latest = free_at
        self.free_at = latest

    def is_full(self, time: float) -> bool:
        return not self.reserved and all(
            free_at + slack <= time for free_at, _, slack in self._terms
        )


def _first_burst(limit: RateLimit) -> int:
    return (limit.burst + 2) // 3


def _first(keys: OrderedDict[str, _Bucket], number: int) -> list[str]:
    return [key for key, _ in zip(keys, range(number), strict=False)]


def unlimited() -> Recipients:
    """Return the pace of a channel that limits no recipient."""
    return Recipients("", None, lambda reply: "", lambda reply: 0)
