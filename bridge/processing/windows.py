"""Which lanes hold too much of the window of their partition, that is of what it may have unacked.

A window is looked at only while it is full. Then a lane that stalls is moved out of it: one whose
oldest message has been running for a while, and which has more than a fair share of the window, or
shares it with others that stall, so that nothing is left. So is one that works on message after
message and has more than its share at look after look: what is behind the window would wait for all
of them. A lane that fails or keeps to a rate has no such share: while it waits, the others are
served. Lanes that wait until their conversation is quiet stop waiting, the oldest first.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from bridge.errors import MessageError
from bridge.messages import Delivery
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.outcomes import M

if TYPE_CHECKING:
    from bridge.processing.processor import Processor

Item = tuple[Delivery, M | MessageError]

FULL_FOR = 0.1
"""Seconds for which a window is full before a lane is moved out of it."""
STALLED_AFTER = 0.2
"""Seconds of one turn or call after which its lane stalls. A lane that waits stalls at once."""
FAILS_FOR = 1.0
"""Seconds after a dead letter in which its lane fails, although it does not wait."""
LOOKS = 3
"""A lane of quick turns stalls if it has more than its share at so many looks in a row."""
SHARE = 4
"""A lane may hold one message in this many of the window, and as many become free at a time."""
WORTH = 64
"""A failing or pausing lane is moved if at least one message in this many of the window waits."""


@dataclass(eq=False)
class Partition:
    """What this process has of one partition."""

    held: int = 0
    """Unacked messages."""
    arrived: int = 0
    """Messages delivered so far."""
    is_fresh: bool = False
    """The latest one was delivered for the first time: all that were redelivered have arrived."""


class Windows(Generic[M]):
    """The windows of one generation, one per partition."""

    def __init__(
        self,
        processor: Processor[M],
        lanes: Lanes[Item[M]],
        prefetch: int,
        spill: Callable[[Lane[Item[M]]], int | None],
    ) -> None:
        """Each window has `prefetch` messages (0: any number, so it is never full).

        `spill(lane)` moves a lane out of its window. It returns how many messages begin to move,
        or None if no lane can be moved.
        """
        self.prefetch = prefetch
        self._processor = processor
        self._lanes = lanes
        self._spill = spill
        self._partitions: defaultdict[str, Partition] = defaultdict(Partition)
        self._check: asyncio.TimerHandle | None = None
        self._looks: dict[Lane[Item[M]], int] = {}
        """Looks in a row at which a lane had more than its share."""
        self.hurry: Callable[[str, int], None] = _nothing
        """`hurry(queue, number)` starts turns that wait for their conversation to be quiet."""

    def __getitem__(self, queue: str) -> Partition:
        return self._partitions[queue]

    def enter(self, delivery: Delivery) -> None:
        """Note that a message arrived."""
        partition = self._partitions[delivery.queue]
        partition.held += 1
        partition.arrived += 1
        partition.is_fresh = not delivery.redelivered
        if partition.held >= self.prefetch > 0 and self._check is None:
            self._check_soon()

    def leave(self, delivery: Delivery) -> None:
        """Note that a message is not held any more."""
        self._partitions[delivery.queue].held -= 1

    def close(self) -> None:
        """Move no further lane."""
        if self._check is not None:
            self._check.cancel()

    def _check_soon(self) -> None:
        self._check = asyncio.get_running_loop().call_later(FULL_FOR, self._make_room)

    def _make_room(self) -> None:
        self._check = None
        full = {queue for queue, p in self._partitions.items() if p.held >= self.prefetch}
        if not full or self._lanes.draining.is_set():
            self._looks = {}
            return
        self._check_soon()
        for queue in full:
            self.hurry(queue, max(1, self.prefetch // SHARE))
        if self._processor.gate.is_open and not self._processor.queues.problem():
            for lanes in self._stalled(full).values():
                self._move_largest(lanes)

    def _stalled(self, queues: set[str]) -> dict[str, list[Lane[Item[M]]]]:
        """Return the lanes of each queue that stall, and have further messages."""
        began = time.monotonic() - STALLED_AFTER
        before, self._looks = self._looks, {}
        stalled: defaultdict[str, list[Lane[Item[M]]]] = defaultdict(list)
        for lane in self._lanes.open():
            if not lane.items or (queue := lane.items[0][0].queue) not in queues:
                continue
            # Lanes that share a rate limit gain nothing: all wait for it, wherever they are.
            if len(lane.items) > self.prefetch // SHARE and not self._processor.paced():
                self._looks[lane] = before.get(lane, 0) + 1
            if lane.since is not None and (
                lane.since <= began
                or lane.pauses
                or self._fails(lane)
                or self._looks.get(lane, 0) >= LOOKS
            ):
                stalled[queue].append(lane)
        return stalled

    def _fails(self, lane: Lane[Item[M]]) -> bool:
        has_given_up = lane.gave_up_at > time.monotonic() - FAILS_FOR
        return has_given_up or self._processor.slots.is_failing(lane.key)

    def _move_largest(self, lanes: list[Lane[Item[M]]]) -> None:
        """Move lanes of a window out of it, the largest first, until a part of it becomes free."""
        freed, share = 0, self.prefetch // SHARE
        held = sum(1 + len(lane.items) for lane in lanes)
        is_theirs = held > self.prefetch - share and not self._processor.paced()
        for lane in sorted(lanes, key=lambda lane: len(lane.items), reverse=True):
            has_no_share = is_theirs or lane.pauses or self._fails(lane)
            least = max(1, self.prefetch // WORTH) if has_no_share else share + 1
            if len(lane.items) < least:
                continue
            moving = self._spill(lane)
            if moving is None:
                return
            freed += moving
            if freed > share:
                return


def _nothing(queue: str, number: int) -> None:
    return None
