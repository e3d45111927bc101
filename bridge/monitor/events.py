"""What happened: deaths, starts, dead letters, outages. A bounded list, newest last. No I/O."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from bridge.broker.presence import WEBHOOKS
from bridge.messages import INBOUND, REPLIES
from bridge.monitor.problem import NAMED, name_of, together
from bridge.monitor.roster import Change
from bridge.monitor.snapshot import Flow, Snapshot
from bridge.monitor.turn_errors import turn_error_fix
from bridge.monitor.waits import failing, mostly_fail

MOST = 200
"""Events kept."""
MERGED = 60.0
"""Seconds within which dead letters of a flow are one event."""
LASTS = 5.0
"""Seconds without a consumer that are an event: processes connect again after an outage."""
RECENT = 15 * 60.0
"""Seconds for which the death of a process is worth a notice."""
ALARMING = (
    *("died", "hangs", "dead letters", "no consumer", "service down", "broker lost", "paused"),
    *("resize", "alarm", "turn errors", "failing"),
)
"""Kinds of events that someone should look at; the others are for information."""


class Event(msgspec.Struct, frozen=True):
    at: float
    """Unix time."""
    kind: str
    """`started`, `stopped`, `service back`, …, or one of `ALARMING`."""
    subject: str
    """A process, or a flow and its channel."""
    what: str
    """What happened, and the cause as far as it is known."""
    fix: str = ""
    """What to do; "" if there is nothing to do."""
    number: int = 0
    """How many dead letters."""
    alarming: bool = False


def recent_deaths(events: Iterable[Event], now: float) -> list[Event]:
    """Return the deaths of the `RECENT` seconds before `now`, in Unix time.

    A process that reports again is left out. `events` are in the order of their time.
    """
    deaths: dict[str, Event] = {}
    for event in events:
        if event.kind == "died":
            deaths[event.subject] = event
        elif event.kind == "reports again":
            deaths.pop(event.subject, None)
    return [event for event in deaths.values() if event.at >= now - RECENT]


class Events:
    """Derives events from the changes of processes, and from successive snapshots."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._began = clock()
        self._events: deque[Event] = deque(maxlen=MOST)
        self._before: Snapshot | None = None
        self._lost = ""
        self._resize = ""
        self._unconsumed: dict[str, float] = {}
        """Flow without a consumer → since when, or 0 once that is an event."""
        self._erred_at = float("-inf")
        """When Rasa last logged errors in turns."""
        self._failing: set[str] = set()
        self.version = 0
        """Grows with every change of the list."""

    @property
    def all(self) -> list[Event]:
        return list(self._events)

    def recent_deaths(self) -> list[Event]:
        """Return the deaths of the last `RECENT` seconds, without processes that report again."""
        return recent_deaths(self._events, self._clock())

    def changed(self, change: Change) -> None:
        """Note what happened to a process. One that ran before the monitor is no news.

        A name is that of one process. So one that died and starts had only lost its connection.
        """
        kind, report = change
        if kind == "started":
            if any(event.subject == report.name for event in self.recent_deaths()):
                kind = "reports again"
            elif report.started_at < self._began:
                return
        is_webhook = report.role == WEBHOOKS
        what, fix = (_WEBHOOK if is_webhook and kind in _WEBHOOK else _PROCESS)[kind]
        held = sum(held.number for c in report.consuming for held in c.held.values())
        redelivered = (
            f"RabbitMQ redelivers the {_messages(held)} that it held"
            if held
            else "it held no messages at its latest report"
        )
        what = what.format(held=_messages(held), redelivered=redelivered)
        self._add(kind, report.name, what, fix)

    def seen(self, snapshot: Snapshot) -> None:
        """Note what is different from the snapshot before."""
        if self._lost:
            self._add("broker back", snapshot.broker, f"connected again after: {self._lost}")
            self._lost = ""
        before, self._before = self._before, snapshot
        if before is None:
            return
        for alarm in snapshot.alarms:
            if alarm not in before.alarms:
                self._add("alarm", "RabbitMQ", alarm, "free memory or disk")
        if before.alarms and not snapshot.alarms:
            self._add("alarm over", "RabbitMQ", "no alarm any more")
        if snapshot.closed_since is not None and before.closed_since is None:
            what = "a resize waits for a standstill, and webhooks answer 503"
            self._add("resize", "partitions", what, "do what rasa-bridge topology resize says")
        elif before.closed_since is not None and snapshot.closed_since is None:
            self._add("resize over", "partitions", "webhooks may accept messages again")
        flows = {name_of(flow): flow for flow in before.flows}
        self._compare_flows(flows, snapshot)
        self._compare_consumers(flows, snapshot)
        for flow in snapshot.flows:
            self._note_turn_errors(flow)
            self._note_failing(flow)
        for name, number in snapshot.dead.items():
            self._note_dead(name, number - before.dead.get(name, number))

    def lost(self, problem: str) -> None:
        """Note that the broker cannot be watched, and why."""
        if problem and not self._lost and problem != self._resize:
            self._lost = problem
            self._add("broker lost", "monitor", problem, "see the log of RabbitMQ")

    def resized(self, problem: str) -> None:
        """Note that the numbers of partitions are others now, or are being changed."""
        if problem != self._resize:
            self._resize = problem
            fix = "restart the monitor with the new bridge.partitions"
            self._add("resize", "partitions", problem, fix)

    def _compare_flows(self, before: dict[str, Flow], snapshot: Snapshot) -> None:
        """Note what happened to flows; the same of many channels is one event."""
        pairs = [(before[name_of(f)], f) for f in snapshot.flows if name_of(f) in before]
        for happened in (_service_down, _service_back, _paused, _resumed):
            found = [(flow, told) for old, flow in pairs if (told := happened(old, flow))]
            channels = [flow.channel for flow, _ in found if flow.channel]
            if len(channels) > NAMED:
                kind, what, fix = next(told for flow, told in found if flow.channel)
                fix = fix.removesuffix(f" {channels[0]}")
                self._add(kind, together(REPLIES, channels), what, fix)
                found = [(flow, told) for flow, told in found if not flow.channel]
            for flow, (kind, what, fix) in found:
                self._add(kind, name_of(flow), what, fix)

    def _compare_consumers(self, before: dict[str, Flow], snapshot: Snapshot) -> None:
        """Note which flows have no consumer for a while, and which have one again."""
        lost: list[Flow] = []
        found: list[Flow] = []
        for flow in snapshot.flows:
            name, old = name_of(flow), before.get(name_of(flow))
            since = self._unconsumed.get(name)
            if flow.consumers:
                if self._unconsumed.pop(name, None) == 0.0:
                    found.append(flow)
            elif since is None and old is not None and old.consumers:
                self._unconsumed[name] = self._clock()
            elif since and self._clock() - since >= LASTS:
                self._unconsumed[name] = 0.0
                lost.append(flow)
        for subject, is_inbound in _subjects(lost):
            fix = "start a worker" if is_inbound else "start a deliver process"
            self._add(
                "no consumer", subject, f"a partition has had no consumer for {LASTS:.0f} s", fix
            )
        for subject, _ in _subjects(found):
            self._add("consumers", subject, "every partition has a consumer")

    def _note_turn_errors(self, flow: Flow) -> None:
        """Note that Rasa logs errors in turns; errors less than `RECENT` apart are one event."""
        if not flow.turn_errors:
            return
        if self._clock() - self._erred_at > RECENT:
            error = f" ({flow.turn_error})" if flow.turn_error else ""
            what = f"Rasa logs errors in turns, and goes on{error}"
            self._add("turn errors", name_of(flow), what, turn_error_fix(flow))
        self._erred_at = self._clock()

    def _note_failing(self, flow: Flow) -> None:
        """Note that most of what a flow attempts fails, and the end of it."""
        name = name_of(flow)
        if name in self._failing and not flow.retrying:
            self._failing.discard(name)
            self._add("failing over", name, "nothing waits for another attempt any more")
        elif name not in self._failing and mostly_fail(name, flow):
            self._failing.add(name)
            self._add("failing", name, failing(flow), "see the logs of its processes")

    def _note_dead(self, name: str, grown: int) -> None:
        subject = f"dead {name}"
        if grown < 0:
            self._add("dead letters gone", subject, f"{-grown:,} replayed or purged", number=grown)
        if grown <= 0:
            return
        last = next((e for e in reversed(self._events) if e.subject == subject), None)
        if last and last.kind == "dead letters" and self._clock() - last.at <= MERGED:
            merged = last.number + grown
            position = self._events.index(last)
            self._events[position] = msgspec.structs.replace(
                last, number=merged, what=f"{merged:,} more dead letters"
            )
            self.version += 1
            return
        more = "1 more dead letter" if grown == 1 else f"{grown:,} more dead letters"
        self._add("dead letters", subject, more, "rasa-bridge dead list", number=grown)

    def _add(self, kind: str, subject: str, what: str, fix: str = "", number: int = 0) -> None:
        self._events.append(
            Event(self._clock(), kind, subject, what, fix, number, kind in ALARMING)
        )
        self.version += 1


Told = tuple[str, str, str]
"""Kind of an event, what happened, and what to do."""


def _service_down(old: Flow, flow: Flow) -> Told | None:
    if old.paused or not flow.paused:
        return None
    pause = flow.pause.why if flow.pause else ""
    why, _, fix = (pause or "its service is down").partition("; ")
    fix = fix or "wait: delivery resumes when the service is back"
    return "service down", f"{why}; replies wait in RabbitMQ", fix


def _service_back(old: Flow, flow: Flow) -> Told | None:
    return ("service back", "calls are accepted again", "") if old.paused > flow.paused else None


def _paused(old: Flow, flow: Flow) -> Told | None:
    if old.stopped or not flow.stopped:
        return None
    reason = f" ({flow.stopped.reason})" if flow.stopped.reason else ""
    what = f"paused by {flow.stopped.by or 'an operator'}{reason}; messages wait in RabbitMQ"
    return "paused", what, f"to go on: rasa-bridge resume {name_of(flow)}"


def _resumed(old: Flow, flow: Flow) -> Told | None:
    return ("resumed", "an operator resumed it", "") if old.stopped and not flow.stopped else None


def _subjects(flows: list[Flow]) -> list[tuple[str, bool]]:
    """Return the names of flows, and whether each is inbound; channels are named together."""
    channels = [flow.channel for flow in flows if flow.channel]
    subjects = [(name_of(flow), True) for flow in flows if flow.flow == INBOUND]
    return subjects + ([(together(REPLIES, channels), False)] if channels else [])


_PROCESS = {
    "started": ("started", ""),
    "stopped": ("stopped as asked", ""),
    "died": (
        "killed, or lost its connection; {redelivered}",
        "see its log; start another one unless a supervisor does",
    ),
    "hangs": (
        "connected but does not report; it held {held} at its latest report",
        "see its log; restart it, and its messages go to another process",
    ),
    "reports again": ("reports again", ""),
}
"""Kind of a change → what happened, and what to do."""
_WEBHOOK = {
    "died": (
        "killed, or lost its connection; senders without an answer send again",
        "see its log; start another one unless a supervisor does",
    ),
    "hangs": (
        "connected but does not report; its senders may get no answer",
        "see its log; restart it",
    ),
}
"""The same for what differs in a webhook, which holds no messages of a queue."""


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"
