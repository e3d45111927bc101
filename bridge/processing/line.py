"""The lanes that wait for a slot: the most urgent first, but none waits forever. No AMQP."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from enum import Enum

from bridge.messages import HIGH, PRIORITIES, Priority

FAIR = 4
"""One slot in this many goes to the lane that has waited longest, whatever its priority."""


class Slot(Enum):
    """Where an attempt runs."""

    SHARED = "among the slots for all priorities"
    URGENT = "beyond them"


class Place:
    """The place of one lane in the line. `turn` completes once it has a slot."""

    __slots__ = ("number", "rank", "turn")

    def __init__(self, number: int, rank: int) -> None:
        self.number = number
        self.rank = rank
        self.turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()


class Line:
    """Lanes that wait, by priority, each in the order of arrival."""

    def __init__(self) -> None:
        self._places: tuple[deque[Place], ...] = tuple(deque() for _ in PRIORITIES)
        self._by_lane: dict[Hashable, Place] = {}
        self.present = 0
        """Lanes that have joined and not left; some of them may have their slot already."""
        self._arrivals = 0
        self._departures = 0

    def __bool__(self) -> bool:
        """Whether a lane waits."""
        return self.present > 0 and any(map(self._head, range(len(PRIORITIES))))

    def join(self, lane: Hashable, priority: Priority) -> Place:
        """Append a lane to the line."""
        self._arrivals += 1
        self.present += 1
        place = Place(self._arrivals, PRIORITIES.index(priority))
        self._places[place.rank].append(place)
        self._by_lane[lane] = place
        return place

    def leave(self, lane: Hashable, place: Place) -> None:
        """Forget a lane that has its slot, or gave up."""
        self.present -= 1
        if self._by_lane.get(lane) is place:
            del self._by_lane[lane]

    def hurry(self, lane: Hashable, priority: Priority) -> None:
        """Give a lane that waits at least this priority: a more urgent message is behind it."""
        place, rank = self._by_lane.get(lane), PRIORITIES.index(priority)
        if place is not None and rank < place.rank:
            place.rank = rank
            self._places[rank].append(place)

    def recall(self, lane: Hashable, error: Exception) -> bool:
        """Have a lane that waits give up with an error; return whether it waited."""
        place = self._by_lane.get(lane)
        if place is None or place.turn.done():
            return False
        place.turn.set_exception(error)
        place.turn.exception()  # retrieved, also if the lane is cancelled before it sees it
        return True

    def next(self) -> Place | None:
        """Remove the place whose turn it is and return it; None if no lane waits."""
        heads = [place for rank in range(len(PRIORITIES)) if (place := self._head(rank))]
        if not heads:
            return None
        self._departures += 1
        first = heads[0]
        if self._departures % FAIR == 0:
            first = min(heads, key=lambda place: place.number)
        self._places[first.rank].popleft()
        return first

    def next_urgent(self) -> Place | None:
        """Remove the first place of high priority and return it, or None."""
        place = self._head(PRIORITIES.index(HIGH))
        if place is not None:
            self._places[place.rank].popleft()
        return place

    def _head(self, rank: int) -> Place | None:
        """Return the first place of a rank, without those that were given up or moved."""
        places = self._places[rank]
        while places and (places[0].rank != rank or places[0].turn.done()):
            places.popleft()
        return places[0] if places else None
