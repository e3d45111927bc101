"""Groups dead letters by their cause: what failed, where, and since when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Depths, nothing, scan
from bridge.messages import DeadLetter, Flow


@dataclass
class Group:
    """The dead letters with one cause. Times are Unix seconds, 0 if unknown."""

    flow: Flow
    channel: str
    reason: str
    cause: str
    """`DeadLetter.cause`."""
    letters: int = 0
    oldest: float = 0.0
    newest: float = 0.0

    @property
    def filter(self) -> Filter:
        """Matches exactly the dead letters of the group, among those that were grouped."""
        return Filter(self.flow, self.channel, reason=self.reason, cause=self.cause)

    def add(self, letter: DeadLetter) -> None:
        self.letters += 1
        if letter.last_at:
            self.oldest = min(self.oldest or letter.last_at, letter.last_at)
            self.newest = max(self.newest, letter.last_at)


MOST = 1000
"""Groups at most, so that what a service answers cannot fill the memory."""


class Groups:
    """The groups of the dead letters that were added."""

    def __init__(self) -> None:
        self._found: dict[tuple[Flow, str, str, str], Group] = {}
        self.others = 0
        """Dead letters without a group, because there were `MOST`."""

    def add(self, letter: DeadLetter) -> None:
        # A filter compares causes in upper or lower case.
        key = letter.flow, letter.channel, letter.reason, letter.cause.lower()
        group = self._found.get(key)
        if group is None:
            if len(self._found) == MOST:
                self.others += 1
                return
            group = Group(letter.flow, letter.channel, letter.reason, letter.cause)
            self._found[key] = group
        group.add(letter)

    def largest_first(self) -> list[Group]:
        return sorted(self._found.values(), key=lambda group: -group.letters)


async def by_cause(
    url: Urls,
    topology: Topology,
    wanted: Filter,
    among: Depths,
    tick: Callable[[], None] = nothing,
) -> Groups:
    """Return the groups of the dead letters that match; `tick` is called for each one read."""
    groups = Groups()
    async for letter, _ in scan(url, topology, wanted, among, tick):
        groups.add(letter)
    return groups
