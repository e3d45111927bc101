"""One problem, as `status` and the page show it, and how its words are made. No I/O."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from bridge.monitor.snapshot import Flow

NAMED = 5
"""Channels or processes that a line names; more of them are one line."""

Action = Literal["try", "pause", "resume"]


class Limits(NamedTuple):
    """Values above which something is a problem; None: no limit."""

    depth: int | None = None
    """Messages per flow and channel."""
    age: float | None = None
    """Seconds."""
    dead: int | None = None
    """Dead letters in total."""


class Problem(msgspec.Struct, frozen=True):
    """One line, where to read what to do, and what the page offers to do."""

    text: str
    runbook: str
    """A section of `RUNBOOKS`."""
    flow: str = ""
    channel: str = ""
    """The flow that it concerns, if it is one."""
    actions: Sequence[Action] = ()
    """Buttons: probe the service now, pause the flow, resume it."""
    parts: Sequence[Problem] = ()
    """The same problem of each channel, if the line is about many."""

    def __str__(self) -> str:
        return self.text


def each_part(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems, each followed by its parts."""
    return [
        line
        for problem in problems
        for line in (msgspec.structs.replace(problem, parts=()), *problem.parts)
    ]


def name_of(flow: Flow) -> str:
    """Return a flow's name on screen: `inbound` or `replies <channel>`."""
    return f"{flow.flow} {flow.channel}" if flow.channel else flow.flow


def together(flow: str, channels: Sequence[str]) -> str:
    """Return the name of a flow of one channel or of several."""
    if len(channels) == 1:
        return f"{flow} {channels[0]}".rstrip()
    return f"{flow} of {len(channels)} channels ({listed(channels)})"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 process`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def clock(at: float) -> str:
    """Return the local time of day of a Unix time, such as `13:44:12`."""
    return time.strftime("%H:%M:%S", time.localtime(at))
