"""The ledger: everything that happened to each message, and what must never have happened.

The invariants, as the tests name them:

- ONE_TURN: never two turns of a conversation at once
- ORDER: a conversation stays in order, that is its messages from one channel
- SETTLED: each acknowledged message is settled exactly once or dead-lettered, none is lost
- RETURNED: nothing acts after its message was returned
- INNOCENT: an innocent message is never dead-lettered
- ENDS: everything ends
- PACED: a rate limit holds across all processes
- ONCE: a completed message does not run again, a further copy of a reply is marked
- SAVED: each message is in at most one saved turn
- UNBROKEN: a turn that is saved is not interrupted
- FIRST: a message waits for few less urgent ones (`precedence`)
- FAIR: a failing conversation delays no other
- DRAINED: a drain lets what runs end
- GATHERED: a turn has all messages that wait, as its policy says

A process cannot know that the broker has given its message to another one before the network tells
it. A turn of that time is *orphaned*: it may overlap with the next one, in another process.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge.broker.topology import Topology
from bridge.messages import HIGH, TYPES, Reply, decode
from bridge.messages.turn_policy import LATEST
from bridge.processing.quarantine import CONVICTED_AFTER
from tests.simulation.broker import Channel, Stored
from tests.simulation.loop import Process, Universe
from tests.simulation.plan import INNOCENT, REASONS, Plan, Script
from tests.simulation.precedence import Precedence
from tests.simulation.trials import Trials

ONE_TURN = "never two turns of a conversation at once"
ORDER = "a conversation stays in order"
SETTLED = "each acknowledged message is settled exactly once or dead-lettered"
RETURNED = "nothing acts after its message was returned"
INNOCENT_ = "an innocent message is never dead-lettered"
ENDS = "everything ends"
PACED = "a rate limit holds across all processes"
ONCE = "a completed message does not run again"
SAVED = "each message is in at most one saved turn"
UNBROKEN = "a turn that is saved is not interrupted"
FIRST = "urgent messages go first"
GATHERED = "a turn has all messages that wait"
DRAINED = "a drain lets what runs end"
FAIR = "a failing conversation delays no other"

MOVED_AGAIN = 1.5
"""Seconds that a message may wait longer for each move of its partition after the first one: a
second until its process knows of that, and the way."""


JOINS_WITHIN = 0.1
"""Seconds that a message may have been in its process before a turn starts without it: the passes
from the choice of a turn's messages to its first step."""


class Violated(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what


@dataclass(eq=False)
class Turn:
    """One run of a handler."""

    process: Process
    script: Script
    """Its oldest message: the turn runs as long as its process holds that."""
    scripts: list[Script]
    """The messages that it handles: without those that were in a saved turn before."""

    @property
    def ids(self) -> list[str]:
        return [script.id for script in self.scripts]


@dataclass
class Ledger:
    """What happened, as the broker and the handlers see it."""

    plan: Plan
    universe: Universe
    topology: Topology
    charges: Callable[[Script], int] = lambda script: 0
    """Counted attempts at a message."""
    records: Callable[[str, Script], bool] = lambda process, script: False
    """Whether the end of an attempt at a message is being recorded by a process, by its name."""
    is_held_up: Callable[[str, Script, Script], bool] = lambda process, script, started: False
    """Whether a message that a process, by its name, was given cannot start there while another one
    does."""
    violation: Violated | None = None
    trace: list[tuple[float, str, str]] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    handled: set[str] = field(default_factory=set)
    dead: dict[str, str] = field(default_factory=dict)
    """Id → reason."""
    copies: Counter[str] = field(default_factory=Counter)
    """Id → how often it was published to its queue."""
    moved: Counter[str] = field(default_factory=Counter)
    """Id → copies on overflow queues that are not settled."""
    was_moved: Counter[str] = field(default_factory=Counter)
    """Id → copies on overflow queues, ever."""
    on_queues: Counter[str] = field(default_factory=Counter)
    """Id → copies that are not settled."""
    replies: Counter[str] = field(default_factory=Counter)
    """Id → copies,"""
    unmarked: Counter[str] = field(default_factory=Counter)
    """and those of them that are not marked as repeated."""
    open: int = 0
    """Messages that are on a queue and not settled."""
    turns: list[Turn] = field(default_factory=list)
    held: dict[tuple[str, str], list[Channel]] = field(default_factory=dict)
    """(process, id) → the channels that delivered it, the newest last."""
    completed: set[tuple[str, str]] = field(default_factory=set)
    """(process, id) of everything that a process knows to be completed."""
    first: dict[tuple[Channel, str], float] = field(default_factory=dict)
    """(channel, queue) → when it delivered its first message."""
    turn_of: dict[str, list[Script]] = field(default_factory=dict)
    """Id → the messages of the latest turn that had it."""
    expected: dict[str, list[str]] = field(default_factory=dict)
    """Id of a handled message → ids of the replies of its turn."""
    saved: set[str] = field(default_factory=set)
    since: dict[str, float] = field(default_factory=dict)
    """Id → when it was stored,"""
    until: dict[str, float] = field(default_factory=dict)
    """and when it was handled first."""
    returns: Counter[str] = field(default_factory=Counter)
    """Id → how often it was returned to its queue."""
    here_since: dict[str, float] = field(default_factory=dict)
    """Id → when it reached a process first."""
    called: Counter[str] = field(default_factory=Counter)
    """Id of a reply → calls of the service."""

    def __post_init__(self) -> None:
        self.trials = Trials(self.plan.pace is not None)
        self.precedence = Precedence(self)
        self.scripts = {script.id: script for script in self.plan.scripts}
        self._overflow = re.compile(rf"{self.topology.namespace}\.overflow\.\w{{32}}")
        self._streams = self.plan.streams()
        self._exchange = f"{self.topology.namespace}.{self.plan.flow}."
        self._dead = {queue.name for queue in self.topology.dead_queues()}

    def note(self, who: str, what: str) -> None:
        self.trace.append((self.universe.now, who, what))

    def violate(self, invariant: str, what: str) -> None:
        """Note a violation; the first one counts."""
        self.note("ledger", f"VIOLATED {invariant}: {what}")
        self.violation = self.violation or Violated(invariant, what)

    # What the broker sees.

    def stored(self, message: Stored) -> None:
        self.note("broker", f"stores {message.id} on {message.queue}")
        if message.queue in self._dead:
            self._dead_lettered(message)
        elif message.id in self.scripts:
            self.open += 1
            self.on_queues[message.id] += 1
            self.since.setdefault(message.id, self.universe.now)
            if self._is_moved(message):
                self.moved[message.id] += 1
                self.was_moved[message.id] += 1
            else:
                self.copies[message.id] += 1
        else:
            if message.kind == TYPES[Reply]:
                self._check_mark(message)
            self.replies[message.id] += 1

    def _check_mark(self, message: Stored) -> None:
        """Check that one copy of a reply is not marked, at most.

        It need not arrive first: a process that lost its message unknowingly may send it later.
        Unless its message has several copies itself, or may have run in a turn with others.
        """
        reply = decode(message.body, Reply)
        if reply.redelivered:
            return
        id = reply.in_reply_to
        is_alone = self.copies[id] == 1 and not self.was_moved[id] and not self.plan.policies
        self.unmarked[message.id] += 1
        if is_alone and self.unmarked[message.id] > 1:
            self.violate(ONCE, f"{reply.id} is sent again without a mark")

    def _is_moved(self, message: Stored) -> bool:
        """Return whether a message is on an overflow queue."""
        return not message.queue.startswith(self._exchange)

    def _dead_lettered(self, message: Stored) -> None:
        script, reason = self.scripts[message.id], str(message.headers["x-bridge-reason"])
        self.dead[message.id] = reason
        if self.plan.fair_within and self.trials.is_late(script, reason):
            self.violate(FAIR, f"{script.id} was tried again: the lane has used its time up")
        kinds = [script.kind]
        if message.headers.get("x-bridge-group"):
            kinds += [other.kind for other in self.turn_of.get(message.id, [])]
            self.trials.exhausts(script)
        elif early := self.trials.verdict(script, reason, self.universe.now):
            self.violate(INNOCENT_, f"{message.id} {script.kind}, {early}")
        guilty = [kind for kind in kinds if kind not in INNOCENT]
        if guilty == ["hangs"] and reason == "failed" and self.plan.flow == "inbound":
            self.violate(INNOCENT_, f"{message.id} hangs, dead-lettered as {reason}")
        if self.trials.is_excused(script.id, reason):
            return
        if not guilty:
            self.violate(INNOCENT_, f"{message.id} is {script.kind}, dead-lettered as {reason}")
        elif all(reason not in REASONS[kind] for kind in guilty):
            self.violate(INNOCENT_, f"{message.id} {script.kind}, dead-lettered as {reason}")

    def delivered(self, message: Stored, channel: Channel) -> None:
        self.first.setdefault((channel, message.queue), self.universe.now)
        again = f", returned {message.count} times" if message.count else ""
        self.note("broker", f"delivers {message.id} to {channel.owner}{again}")
        self.held.setdefault((channel.owner, message.id), []).append(channel)

    def acked(self, message: Stored, channel: Channel) -> None:
        self.note("broker", f"removes {message.id}: acked by {channel.owner}")
        self.precedence.forget(channel.owner, message)
        self.held[channel.owner, message.id].remove(channel)
        if message.id not in self.scripts:
            return
        is_moved = self._gone(message)
        script = self.scripts[message.id]
        is_done = self._is_done(script) or self._is_superseded(script)
        if not is_done and (is_moved or not self.moved[message.id]):
            self.violate(SETTLED, f"{message.id} was acked, but neither handled nor dead-lettered")
        for reply in self.expected.get(message.id, ()):
            if not self.replies[reply]:
                self.violate(SETTLED, f"reply {reply} to {message.id} is lost")

    def _is_done(self, script: Script) -> bool:
        return script.id in self.handled or script.id in self.dead

    def _is_superseded(self, script: Script) -> bool:
        """Return whether a newer message may take the place of this one."""
        policy = self.plan.policy(script)
        if policy is None or policy.kind != LATEST:
            return False
        stream = self._streams[script.stream]
        newer = stream[stream.index(script) + 1 :][:1]
        return (
            bool(newer)
            and self.plan.policy(newer[0]) is not None
            and bool(self.copies[newer[0].id])
        )

    def _gone(self, message: Stored) -> bool:
        """Note that a message is on no queue any more; return whether it was moved before."""
        self.open -= 1
        self.on_queues[message.id] -= 1
        is_moved = self._is_moved(message)
        if is_moved:
            self.moved[message.id] -= 1
        return is_moved

    def deleted(self, message: Stored) -> None:
        if message.id in self.scripts:
            self.note("broker", f"deletes {message.id} with its queue")
            self._gone(message)
            script = self.scripts[message.id]
            if not self._is_done(script) and not self._is_superseded(script):
                self.violate(SETTLED, f"{message.id} was deleted with its queue")

    def returned(self, message: Stored, channel: Channel) -> None:
        self.note("broker", f"takes {message.id} back from {channel.owner}")
        self.precedence.forget(channel.owner, message)
        if channel.is_given_up:
            self._check_returned(message, channel)

    def requeued(self, message: Stored, channel: Channel) -> None:
        self.note("broker", f"takes {message.id} back: requeued by {channel.owner}")
        self.held[channel.owner, message.id].remove(channel)
        self._check_returned(message, channel)

    def _check_returned(self, message: Stored, channel: Channel) -> None:
        self.precedence.forget(channel.owner, message)
        self.returns[message.id] += 1
        for turn in self._turns_of(channel.owner):
            if message.id in (turn.script.id, *turn.ids):
                self.violate(RETURNED, f"{channel.owner} returned {message.id} and still acts")

    def unknown_tag(self, channel: Channel) -> None:
        self.violate(SETTLED, f"{channel.owner} acked a message twice")

    # What the handlers see.

    @contextlib.contextmanager
    def turn(self, process: Process, scripts: list[Script], oldest: Script) -> Iterator[None]:
        """Check a turn at its start, and list it as running inside the block."""
        turn = Turn(process, oldest, scripts)
        self.trials.begins(scripts, self.universe.now)
        what = ", ".join(f"{script.id} ({script.kind})" for script in scripts)
        self.note(process.name, f"runs {what}")
        self._check_start(process, oldest)
        for script in scripts:
            self._check_message(process, script, turn)
            self._check_wait(process, script)
            self.turn_of[script.id] = scripts
        if self.plan.is_gathered:
            self._check_joined(scripts)
        self.turns.append(turn)
        try:
            yield
        finally:
            if process.is_alive:
                self.turns.remove(turn)
                self.note(process.name, f"ends {turn.script.id}")
                if oldest.id not in self.handled and oldest.kind != "rejects":
                    self.precedence.fails(process.name, oldest)

    def _check_start(self, process: Process, script: Script) -> None:
        orphaned = self.is_orphaned(process, script.id)
        for turn in self.turns:
            if turn.script.conversation == script.conversation and (
                turn.process is process
                or not (orphaned or self.is_orphaned(turn.process, turn.script.id))
            ):
                what = f"{process.name} runs {script.id} while {turn.process.name} runs"
                self.violate(ONE_TURN, f"{what} {turn.script.id}")
        if self.is_returned(process, script.id, lambda channel: channel.is_known_closed):
            self.violate(RETURNED, f"{process.name} begins {script.id} after its return")

    def _check_message(self, process: Process, script: Script, turn: Turn) -> None:
        """Check one message of a turn that starts."""
        if (process.name, script.id) in self.completed:
            self.violate(ONCE, f"{process.name} runs {script.id} again")
        for earlier in self._streams[script.stream]:
            if earlier is script:
                break
            is_here = earlier.id in turn.ids[: turn.ids.index(script.id)]
            if not (is_here or self._is_done(earlier) or self._is_superseded(earlier)):
                self.violate(ORDER, f"{script.id} runs before {earlier.id} is done")
        self._check_later(process, script)

    def _check_joined(self, scripts: list[Script]) -> None:
        """Check that the next message of the stream, if it is here, may not join a turn.

        Or that a turn that a newer message supersedes does not run.
        """
        newest = scripts[-1]
        stream, policy = self._streams[newest.stream], self.plan.policy(newest)
        following = stream[stream.index(newest) + 1 :][:1]
        if policy is None or not following or self.plan.policy(following[0]) is None:
            return
        since = self.universe.now - self.here_since.get(following[0].id, self.universe.now)
        is_full = policy.joins and len(scripts) >= policy.max_messages
        if since > JOINS_WITHIN and not is_full and self.turn_of[newest.id] is scripts:
            self.violate(GATHERED, f"{newest.id} runs without {following[0].id}")

    def _check_later(self, process: Process, script: Script) -> None:
        """Check that no later message of the stream is settled.

        Of several copies on an overflow queue, the second one may come behind later messages.
        """
        if self.was_moved[script.id] > 1 or self.is_orphaned(process, script.id):
            return
        stream = self._streams[script.stream]
        for later in stream[stream.index(script) + 1 :]:
            if self._is_done(later) and not self.on_queues[later.id]:
                self.violate(ORDER, f"{script.id} runs after {later.id} was settled")

    def _check_wait(self, process: Process, script: Script) -> None:
        """Check how long a message has waited, and for which others."""
        if passed := self.precedence.starts(process.name, script):
            self.violate(FIRST, passed)
        if self.plan.urgent_within and script.priority == HIGH:
            waited = self.universe.now - self._ready_at(script)
            if waited > self.plan.urgent_within:
                self.violate(FIRST, f"{script.id} has waited for {waited:.1f} s")
        if self.plan.fair_within and script.kind == "ok":
            waited = self.universe.now - self._ready_at(script)
            if waited > self.plan.fair_within + MOVED_AGAIN * max(0, self.returns[script.id] - 1):
                self.violate(FAIR, f"{script.id} has waited for {waited:.1f} s")

    def _ready_at(self, script: Script) -> float:
        """Return when a message was on its queue, and the one before it was handled."""
        stream = self._streams[script.stream]
        before = stream[: stream.index(script)][-1:]
        return max(self.since[script.id], *(self.until.get(it.id, 0.0) for it in before), 0.0)

    def is_next(self, script: Script) -> bool:
        """Whether a message that was stored once, and never moved, could run now: no other one of
        its conversation does, and every earlier one of its stream is done."""
        if self.was_moved[script.id] or self.copies[script.id] > 1 or self._is_done(script):
            return False
        if any(turn.script.conversation == script.conversation for turn in self.turns):
            return False
        stream = self._streams[script.stream]
        return all(map(self._is_done, stream[: stream.index(script)]))

    def latest_channel(self, process: str, id: str, queue: str) -> tuple[Channel, float]:
        """Return the channel on which a process got a message of a partition's queue, and when it
        got the first one there. What was moved arrived on another channel of the same wire."""
        channel = self.held[process, id][-1]
        found = [one for one, of in self.first if of == queue and one.wire == channel.wire]
        return found[-1], self.first[found[-1], queue]

    def arrives(self, process: Process, message: Stored) -> None:
        """Note that a delivery has reached its process."""
        if message.id in self.scripts:
            self.precedence.arrives(process.name, message, self.scripts[message.id])
            self.here_since.setdefault(message.id, self.universe.now)

    def is_orphaned(self, process: Process, id: str) -> bool:
        """Return whether the broker has taken a message back from a process."""
        return self.is_returned(process, id, lambda channel: not channel.is_open)

    def is_returned(self, process: Process, id: str, closed: Callable[[Channel], bool]) -> bool:
        return all(closed(channel) for channel in self.held.get((process.name, id), ()))

    def _turns_of(self, name: str) -> list[Turn]:
        return [turn for turn in self.turns if turn.process.name == name]

    def saves(self, process: Process, scripts: list[Script], oldest: Script) -> None:
        """Check a turn whose tracker has been saved, unless it is orphaned."""
        if not self.is_orphaned(process, oldest.id):
            for script in scripts:
                if script.id in self.saved:
                    self.violate(SAVED, f"{process.name} saves {script.id} again")
                self.saved.add(script.id)
        self.has_handled(process, scripts)

    def has_handled(self, process: Process, scripts: list[Script]) -> None:
        ids = [script.id for script in scripts]
        self.note(process.name, f"has handled {', '.join(ids)}")
        self.handled.update(ids)
        for script in scripts:
            self.trials.succeeds(script)
            self.until.setdefault(script.id, self.universe.now)
        if self.plan.flow == "inbound":
            number = sum(script.replies for script in scripts)
            replies = [f"{ids[-1]}:{n}" for n in range(number)]
            self.expected.update(dict.fromkeys(ids, replies))

    def has_completed(self, process: Process, id: str) -> None:
        self.completed.add((process.name, id))

    def calls(self, process: Process, script: Script, is_marked: bool) -> None:
        """Check one call of a service: every copy after the first is marked."""
        unmarked = self.called[script.id] and not is_marked
        if unmarked and self.copies[script.id] == 1 and not self.is_orphaned(process, script.id):
            self.violate(ONCE, f"{process.name} repeats the call of {script.id} without a mark")
        self.called[script.id] += 1

    def has_ended(self, process: Process) -> None:
        """Check a process at its exit, and forget its turns if it has died."""
        self.note(process.name, "is gone")
        if not process.ended_in_peace:
            self._charge(process)
        self.turns = [turn for turn in self.turns if turn.process is not process]

    def _charge(self, process: Process) -> None:
        """Note which messages the death of a process convicts."""
        turns = self._turns_of(process.name)
        running = {id for turn in turns for id in turn.ids}
        for id, script in self.scripts.items():
            channels = self.held.get((process.name, id), ())
            holds = id in running or any(channel.is_open for channel in channels)
            holds = holds or self.records(process.name, script)
            if holds and self.charges(script) >= CONVICTED_AFTER:
                self.trials.convicts(id, by_fault=process.is_victim and running <= {id})

    def check_cut_off(self, process: Process, id: str) -> None:
        """Check a turn that was cancelled while its process drains: nothing has ended its
        connection or frozen the process, and neither its time nor that of the drain was over."""
        channel = self.held[process.name, id][-1]
        wire: Any = channel.wire
        is_lost = channel.is_known_closed or not channel.is_open or wire.is_told or wire.is_cut
        if not is_lost and not any(it.kind in ("freeze", "cancel") for it in self.plan.faults):
            self.violate(DRAINED, f"{process.name} cuts {id} off, although it may end")

    def check_exit(self, process: Process) -> None:
        """Check a process that has closed its connections and is about to exit."""
        for turn in self._turns_of(process.name):
            self.violate(RETURNED, f"{process.name} exits while it runs {turn.script.id}")

    def check_end(self, queues: Iterable[str]) -> None:
        """Check the whole, once every message is settled; `queues` are those that exist."""
        for queue in queues:
            if self._overflow.fullmatch(queue):
                self.violate(ENDS, f"{queue} is left")
        for id in sorted(self.acknowledged):
            script = self.scripts[id]
            if not self._is_done(script) and not self._is_superseded(script):
                self.violate(SETTLED, f"{id} was acknowledged and is lost")
            if not self.copies[id]:
                self.violate(SETTLED, f"{id} was acknowledged and never stored")
