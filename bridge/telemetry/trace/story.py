"""The hops of one message as rows of a waterfall, with what is not there marked as such. No I/O.

Each message has the same hops in the same order, and so has each reply. One that is not there is
*missing* if a later one is: its process was killed before it wrote, or the stream no longer holds
it. Otherwise it is *open*: not seen yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.search import Seen

State = Literal["ok", "failed", "open", "missing"]
INBOUND = ("accepted", "confirmed", "attempt", "turn", "settled")
"""The hops of a message,"""
REMINDER = ("scheduled", "attempt", "turn", "settled")
"""of a reminder,"""
REPLY = ("reply", "attempt", "call", "settled")
"""of a reply that `deliver` sends,"""
COLLECTED = ("reply", "collected")
"""and of one for which an HTTP request waits."""
WAITS = ("accepted", "scheduled", "replayed", "failed", "held")
"""After these hops a message waits for its next attempt."""
CONFIRMED = ("confirmed", "reply")
"""The broker may deliver a message before its publisher has the confirm."""
FOR_REQUEST = "for a request"


class Row(msgspec.Struct, frozen=True):
    """One row. Times are Unix seconds, durations seconds."""

    name: str
    at: float
    seconds: float | None = None
    """None: a moment, or unknown."""
    what: str = ""
    process: str = ""
    reply: str = ""
    """Number of the reply, if it is about one."""
    state: State = "ok"


class Story(msgspec.Struct, frozen=True):
    """What happened to one message."""

    id: str
    channel: str
    conversation: str
    began: float
    seconds: float
    """From the first hop to the last."""
    outcome: str
    rows: list[Row]
    missing: int
    """How many hops are missing."""


def story_of(hops: Sequence[Seen]) -> Story:
    """Return the story that the hops of one message tell; they are in order of time."""
    own = [seen for seen in hops if not seen.hop.reply]
    replies: dict[str, list[Seen]] = {}
    for seen in hops:
        if seen.hop.reply:
            replies.setdefault(seen.hop.reply, []).append(seen)
    first, began = (own or hops)[0].hop, hops[0].hop.at
    rows = [*_beginning(own), *_attempts(own, ""), *_turns(own)]
    is_reminder = any(seen.hop.kind == "scheduled" for seen in own)
    expected = REMINDER if is_reminder else INBOUND
    rows += _absent(expected, own, began, "", started=bool(replies))
    for id in _numbered(replies, own, first.id):
        rows += _reply(id.rpartition(":")[2], replies.get(id, []), began)
    rows.sort(key=lambda row: row.at)
    return Story(
        first.id,
        first.channel,
        first.conversation,
        began,
        max(seen.hop.at for seen in hops) - began,
        _outcome(own, replies),
        rows,
        sum(row.state == "missing" for row in rows),
    )


def is_told(story: Story) -> bool:
    """Return whether every hop of a story is there, and everything has ended."""
    return not any(row.state in ("open", "missing") for row in story.rows)


def _absent(
    expected: Sequence[str], hops: Sequence[Seen], at: float, reply: str, started: bool = False
) -> Iterator[Row]:
    """Yield each expected hop that is not there. `started`: an attempt has started, certainly."""
    kinds = {seen.hop.kind for seen in hops}
    is_dead = any(seen.hop.kind == "dead" or seen.hop.what == "dead" for seen in hops)
    needless = {"turn", "call"} if is_dead else set()
    if "joined" in kinds or any(seen.hop.what == "superseded" for seen in hops):
        needless |= {"attempt", "turn"}  # those of a later message
    if is_dead and not any(seen.hop.kind == "dead" and seen.hop.attempt for seen in hops):
        needless.add("attempt")  # dead-lettered without one, such as an unroutable reply
    if "refused" in kinds and "confirmed" not in kinds:
        needless = {*expected} - {"accepted"}
    for rank, kind in enumerate(expected):
        if kind not in kinds and kind not in needless:
            later = [seen.hop.at for seen in hops if seen.hop.kind in expected[rank + 1 :]]
            if later or (started and kind in expected[: expected.index("attempt") + 1]):
                yield Row(kind, later[0] if later else at, reply=reply, state="missing")
            else:
                last = hops[-1].hop.at if hops else at
                yield Row(kind, last, what="not seen yet", reply=reply, state="open")


def _beginning(own: Sequence[Seen]) -> Iterator[Row]:
    """Yield how the message came in."""
    accepted: float | None = None
    for hop, process in own:
        if hop.kind in ("accepted", "scheduled"):
            accepted = hop.at
            yield Row(hop.kind, hop.at, process=process)
        elif hop.kind in ("confirmed", "refused"):
            seconds = None if accepted is None else max(0.0, hop.at - accepted)
            state: State = "failed" if hop.kind == "refused" else "ok"
            yield Row(hop.kind, hop.at - (seconds or 0), seconds, hop.what, process, state=state)


def _attempts(hops: Sequence[Seen], reply: str) -> Iterator[Row]:
    """Yield the waits and the attempts of a message, or of a reply, and its end."""
    waiting: float | None = None
    has_run = False
    for index, (hop, process) in enumerate(hops):
        if hop.kind == "attempt":
            if waiting is not None:
                yield Row("waited", waiting, max(0.0, hop.at - waiting), reply=reply)
            yield _attempt(hop, process, hops[index + 1 :], reply)
            waiting = None
            has_run = True
        elif hop.kind in WAITS or (hop.kind in CONFIRMED and not has_run):
            waiting = hop.at
        if hop.kind == "joined":
            yield Row("joined", hop.at, None, f"the turn of {hop.what}", process, reply)
        elif hop.kind == "dead":
            status = f", HTTP {hop.status}" if hop.status else ""
            yield Row("dead-lettered", hop.at, None, hop.what + status, process, reply, "failed")
        elif hop.kind in ("settled", "receipt", "replayed"):
            yield Row(hop.kind, hop.at, None, hop.what, process, reply)


def _attempt(hop: Hop, process: str, later: Sequence[Seen], reply: str) -> Row:
    """Return the row of an attempt, with its end as far as it is known."""
    name = f"attempt {hop.attempt}"
    for end, by in later:
        if end.kind == "attempt":
            return Row(name, hop.at, None, "its end", process, reply, "missing")
        if end.kind in ("failed", "held") and by == process:
            what = f"{end.what} (HTTP {end.status})" if end.status else end.what
            state: State = "failed" if end.kind == "failed" else "ok"
            return Row(name, hop.at, end.seconds, what, process, reply, state)
        if end.kind in ("turn", "settled", "dead"):
            return Row(name, hop.at, max(0.0, end.at - hop.at), "", process, reply)
    return Row(name, hop.at, None, "its end is not seen yet", process, reply, "open")


def _turns(own: Sequence[Seen]) -> Iterator[Row]:
    started = 0.0
    for hop, process in own:
        if hop.kind == "attempt":
            started = hop.at
        elif hop.kind == "turn":
            # The duration is of another clock: a turn must not seem to begin before its attempt.
            start = max(hop.at - hop.seconds, started)
            state: State = "failed" if hop.what else "ok"
            said = f"Rasa logged: {hop.what}" if hop.what else ""
            yield Row("turn", start, hop.seconds, said, process, state=state)


def _reply(number: str, hops: Sequence[Seen], began: float) -> Iterator[Row]:
    """Yield what happened to one reply."""
    calls = 0
    for hop, process in hops:
        if hop.kind == "reply":
            yield Row("reply", hop.at, None, hop.what, process, number)
        elif hop.kind == "collected":
            yield Row("collected", hop.at, None, "by its request", process, number)
        elif hop.kind == "call":
            calls += 1
            state: State = "failed" if hop.what else "ok"
            started = hop.at - hop.seconds
            yield Row(f"call {calls}", started, hop.seconds, _answer(hop), process, number, state)
    yield from _attempts(hops, number)
    is_collected = any(
        hop.kind == "collected" or (hop.kind == "reply" and hop.what.endswith(FOR_REQUEST))
        for hop, _ in hops
    )
    at = hops[0].hop.at if hops else began
    if hops:
        yield from _absent(COLLECTED if is_collected else REPLY, hops, at, number)
    else:
        yield Row("reply", at, reply=number, state="missing")
        yield from _absent(REPLY[1:], hops, at, number)


def _answer(call: Hop) -> str:
    """Return what is known of the answer to a call."""
    status = f"HTTP {call.status}" if call.status else ""
    id = f"id {call.provider_id}" if call.provider_id else ""
    return " ".join(filter(None, (status, call.what, id)))


def _numbered(replies: dict[str, list[Seen]], own: Sequence[Seen], inbound: str) -> list[str]:
    """Return the ids of the replies, including those of which no hop is there."""
    numbers = [int(n) for id in replies if re.fullmatch("[0-9]{1,9}", n := id.rpartition(":")[2])]
    sent = max((hop.replies for hop, _ in own), default=0)
    most = min(max(sent, max(numbers, default=-1) + 1), 1000)
    between = [f"{inbound}:{n}" for n in range(most)]
    return [*between, *(id for id in replies if id not in between)]


def _outcome(own: Sequence[Seen], replies: dict[str, list[Seen]]) -> str:
    """Return what became of the message, in a few words."""
    ends = [seen.hop for seen in own if seen.hop.kind in ("settled", "dead", "refused")]
    dead = sum(any(seen.hop.kind == "dead" for seen in hops) for hops in replies.values())
    if not ends:
        return "not ended, as far as is known"
    if ends[-1].kind == "refused":
        return "refused"
    if ends[-1].kind == "dead" or ends[-1].what == "dead":
        return "dead-lettered"
    if ends[-1].what == "superseded":
        return "superseded by a newer message"
    joined = [seen.hop.what for seen in own if seen.hop.kind == "joined"]
    if joined:
        return f"handled in the turn of {joined[-1]}"
    answered = f"handled, {len(replies)} {'reply' if len(replies) == 1 else 'replies'}"
    answered += f", {dead} dead-lettered" if dead else ""
    has_error = any(seen.hop.kind == "turn" and seen.hop.what for seen in own)
    return f"{answered}, with an error in its turn" if has_error else answered
