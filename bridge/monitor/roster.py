"""Which processes live, hang, or are gone, from reports and numbers of consumers. No I/O.

A process is one more consumer of its presence queues (`broker.presence`) while it is connected. So
the reports and the broker's numbers check each other:

| consumers | what it means |
| --- | --- |
| as many as processes that report | every figure is known |
| more | a process hangs, or has just started: what it holds is unknown |
| fewer | a process was killed, and what it held is on its queue again |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.broker.presence import WEBHOOKS
from bridge.telemetry.reports import EVERY, Report

Key = tuple[str, str]
"""(Flow, channel); the channel of `inbound` is empty. And `WEBHOOK`."""
WEBHOOK: Key = (WEBHOOKS, "")
"""Stands for the webhooks, which consume no flow."""

MOST = 10_000
"""Processes that are known at a time: a broker user may invent names."""
MISSED_REPORTS = 3
"""A process that misses this many reports hangs, or is gone."""
OVERDUE = 1.5
"""A report that is late by half is overdue."""
RECOVERY = 30.0
"""Seconds for which a process may be missing after an outage of the broker: all connect again."""
CERTAIN = MISSED_REPORTS * EVERY
"""Seconds after which a consumer without a report is a problem, and not one that just started."""


class Change(NamedTuple):
    """Something that happened to a process."""

    kind: str
    """`started`, `stopped`, `died`, `hangs` or `reports again`."""
    report: Report
    """Its latest report."""


class Orphan(NamedTuple):
    """Messages that a process held when it died. They are on their queue again."""

    oldest_at: float
    """Unix time of the oldest message."""
    since: float
    """When the process was found to be gone."""


class _Seen(NamedTuple):
    at: float
    """When the report arrived."""
    report: Report


class Roster:
    """The processes that have reported, over any number of consecutive connections."""

    def __init__(self, changed: Callable[[Change], object] = lambda _: None) -> None:
        """`changed` is called with everything that happens to a process."""
        self._changed = changed
        self._seen: dict[str, _Seen] = {}
        self._lenient_until = float("-inf")
        """Until then, a process that is missing connects again, as far as it is known."""
        self.reconnected_at = float("-inf")
        """When the latest outage of the broker ended."""
        self._deficits: dict[Key, tuple[int, float]] = {}
        """Flow → consumers that are missing, and since when so many are."""
        self.surplus: dict[Key, int] = {}
        """Flow → connected processes that do not report."""
        self.surplus_since: dict[Key, float] = {}
        self.live: list[Report] = []
        self.hanging: list[Report] = []
        """The latest reports of connected processes that do not report any more."""
        self.unheard: list[Report] = []
        """The latest reports of processes that cannot report at present, or connect again."""
        self.unsure: set[str] = set()
        """Live processes that may have been killed since their report."""
        self.orphans: dict[str, Orphan] = {}
        """Queue → messages of a process that died, until another process holds them."""

    def take(self, report: Report, now: float) -> bool:
        """Note a report that arrived at `now`; return whether it is the first of its process."""
        if report.ended:
            if self._seen.pop(report.name, None):
                self._changed(Change("stopped", report))
            return False
        before = self._seen.get(report.name)
        if before is None and len(self._seen) >= MOST:
            return False
        self._seen[report.name] = _Seen(now, report)
        if before is None:
            self._changed(Change("started", report))
        elif any(hanging.name == report.name for hanging in self.hanging):
            # Only once: its next report may arrive before the next `update`.
            self.hanging = [hanging for hanging in self.hanging if hanging.name != report.name]
            self._changed(Change("reports again", report))
        for consuming in report.consuming:
            for queue in consuming.held:
                self.orphans.pop(queue, None)
        return before is None

    def reconnected(self, now: float) -> None:
        """Note that the broker was away until now: no report arrived, and every process connects
        again. What they held is on its queue."""
        self._lenient_until = now + RECOVERY
        self.reconnected_at = now
        self._deficits = {}
        for seen in self._seen.values():
            self._orphan(seen.report, now)

    def is_overdue(self, now: float) -> bool:
        """Return whether the report of any process is late that is not known to hang."""
        hanging = {report.name for report in self.hanging}
        return any(
            now - seen.at > OVERDUE * seen.report.every and name not in hanging
            for name, seen in self._seen.items()
        )

    def excuse(self, now: float) -> None:
        """Note that no process can report at present, nor for a while afterwards."""
        self._lenient_until = now + RECOVERY
        self.surplus_since = {}

    def all_are_back(self) -> None:
        """Note that every flow has a process again: one that is missing later was not away."""
        self.reconnected_at = float("-inf")

    def update(self, present: Mapping[Key, int | None], now: float) -> None:
        """Compare the reports with the number of consumers of each flow; None: unknown."""
        fresh = self._fresh(now)
        self._note_surplus(present, fresh, now)
        self._drop_stale(fresh, now)
        self._find_killed(present, fresh, now)
        self.live = [seen.report for seen in fresh if seen.report.name in self._seen]

    def _fresh(self, now: float) -> list[_Seen]:
        return [s for s in self._seen.values() if now - s.at <= MISSED_REPORTS * s.report.every]

    def _note_surplus(
        self, present: Mapping[Key, int | None], fresh: list[_Seen], now: float
    ) -> None:
        self.surplus = {
            key: number - reporting
            for key, number in present.items()
            if number is not None and number > (reporting := _consumers(key, fresh))
        }
        self.surplus_since = {key: self.surplus_since.get(key, now) for key in self.surplus}

    def _drop_stale(self, fresh: list[_Seen], now: float) -> None:
        """Tell those that hang, as many as there are consumers without a report, from the dead."""
        names = {seen.report.name for seen in fresh}
        stale = [seen for name, seen in self._seen.items() if name not in names]
        hung_before = {report.name for report in self.hanging}
        left = dict(self.surplus)
        self.hanging, self.unheard = [], []
        if now < self._lenient_until:
            self.unheard = [seen.report for seen in stale]
            return
        for seen in sorted(stale, key=lambda s: s.at, reverse=True):
            mine = [key for key in keys_of(seen.report) if left.get(key)]
            if not mine:
                self._died(seen.report, now)
                continue
            for key in mine:
                left[key] -= 1
            self.hanging.append(seen.report)
            if seen.report.name not in hung_before:
                self._changed(Change("hangs", seen.report))

    def _find_killed(
        self, present: Mapping[Key, int | None], fresh: list[_Seen], now: float
    ) -> None:
        """Find processes whose consumers are gone before their reports are missed."""
        self.unsure = set()
        deficits = {}
        for key, number in present.items():
            missing = _consumers(key, fresh) - number if number is not None else 0
            if missing <= 0:
                continue
            before, since = self._deficits.get(key, (0, now))
            since = now if missing > before else since
            deficits[key] = missing, since
            unsure = [s for s in fresh if s.at <= since and key in keys_of(s.report)]
            killed = [s for s in unsure if now - s.at > OVERDUE * s.report.every]
            is_certain = now >= self._lenient_until
            if is_certain and len(unsure) <= missing and len(killed) == len(unsure):
                for seen in killed:
                    self._died(seen.report, now)
            else:
                self.unsure |= {seen.report.name for seen in unsure}
        self._deficits = deficits

    def _died(self, report: Report, now: float) -> None:
        if self._seen.pop(report.name, None) is None:
            return
        self._orphan(report, now)
        self._changed(Change("died", report))

    def _orphan(self, report: Report, now: float) -> None:
        for consuming in report.consuming:
            for queue, held in consuming.held.items():
                self.orphans[queue] = Orphan(held.oldest_at, now)

    def disagrees(self, partitions: Mapping[str, int]) -> bool:
        """Return whether a process has another number of partitions than those of each flow."""
        return any(
            consuming.partitions not in (0, partitions[consuming.flow])
            for seen in self._seen.values()
            for consuming in seen.report.consuming
            if consuming.flow in partitions
        )

    def is_reported(self, key: Key, now: float) -> bool:
        """Return whether any process that reports consumes a flow."""
        return _consumers(key, self._fresh(now)) > 0

    def forget_settled(self, queue: str, now: float) -> None:
        """Forget the orphans of a queue that is empty, once every process has reported."""
        orphan = self.orphans.get(queue)
        if orphan and now - orphan.since > OVERDUE * EVERY:
            del self.orphans[queue]


def keys_of(report: Report) -> list[Key]:
    """Return what a process does, as the number of its consumers tells."""
    if report.role == WEBHOOKS:
        return [WEBHOOK]
    return [(consuming.flow, consuming.channel) for consuming in report.consuming]


def _consumers(key: Key, seen: list[_Seen]) -> int:
    return sum(key in keys_of(one.report) for one in seen)
