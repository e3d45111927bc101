"""Runs a role without fairness, without pacing, or as it is; for `tests.bench.unneeded`.

    python -m tests.bench.plain {fairness,pacing,both,neither,locks,all but PART} COMMAND …

What is left out is replaced by the trivial form that a bridge without it would have: a semaphore
instead of slots, a queue per conversation instead of lanes with priorities, and nothing instead of
retry budgets, windows, overflow, the lock of a partition, and the pace of recipients.

`locks` has nothing but the lock of a partition. It is no part of fairness: while a partition moves,
it keeps one turn of a conversation at a time, since its messages have a queue for each priority.
`all but PART` leaves one part of fairness out: slots, budgets, overflow, lanes, or locks.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bridge.messages import NORMAL, Delivery, Priority

FAIRNESS = ("fairness", "both")
PACING = ("pacing", "both")
ALL_BUT = "all but "


class Slots:
    """`concurrency` slots, first come, first served."""

    def __init__(self, concurrency: int, *_: object, throttled: bool = False) -> None:
        self.concurrency, self.busy = concurrency, 0
        self.failing = ()
        self._free = asyncio.Semaphore(concurrency)

    def hold(self, lane: Hashable, priority: Priority = NORMAL) -> asyncio.Semaphore:
        return self._free

    def begin(self, lane: Hashable, priority: Priority = NORMAL) -> Slots | None:
        if self._free.locked():
            return None
        self._free._value -= 1
        return self

    def end(self) -> None:
        self._free.release()

    def hurry(self, lane: Hashable, priority: Priority) -> None: ...

    def urgent(self, change: int) -> None: ...

    def is_failing(self, lane: Hashable) -> bool:
        return False

    def succeeded(self, lane: Hashable) -> None: ...

    def failed(self, lane: Hashable) -> None: ...


class RetryBudgets:
    """Each message has all of its retry time."""

    used = ()

    def __init__(self, budget: float) -> None: ...

    def spent(self, lane: Hashable) -> float:
        return 0.0

    def exhaust(self, lane: Hashable) -> None: ...

    def renew(self, lane: Hashable) -> None: ...


class Windows:
    """Windows that are never looked at."""

    hurry: Callable[[str, int], None]

    def enter(self, delivery: Delivery) -> None: ...

    def leave(self, delivery: Delivery) -> None: ...

    def close(self) -> None: ...


class Returns:
    """Nothing is ever returned for another process."""

    def is_back(self, *_: object) -> bool:
        return False

    def is_overtaking(self, *_: object) -> bool:
        return False

    def note(self, *_: object) -> None: ...


class Nothing:
    """Stands for what is told of things that it ignores."""

    gathering: object = None
    unneeded = ()


class Overflows:
    """Lanes that never overflow."""

    def __init__(self, processor: Any, lanes: Any, attempts: Any, *_: object) -> None:
        self._lanes = lanes
        self.windows, self.returns = Windows(), Returns()
        self.ahead = self.indexes = Nothing()
        self.spilling = self
        self.leaving = self.returned = self.spilled = ()
        self.arrived: dict[int, object] = {}

    def overflowed(self, held: object) -> dict[str, int]:
        return {}

    def defer(self, item: object, lane: Hashable) -> bool:
        return False

    def put(self, delivery: Delivery, message: Any) -> None:
        self._lanes.put(message.lane(), (delivery, message))

    async def was_settled(self, delivery: Delivery, message: Any) -> bool:
        return False


class Partitions:
    """Every message runs at once, and is acked at once."""

    def __init__(self, owners: object, run: Callable[[Any], None], *_: object) -> None:
        self._run = run

    def admit(self, delivery: Delivery, work: object) -> None:
        self._run(work)

    async def settle(self, delivery: Delivery, then: object = None) -> None:
        await delivery.ack()

    async def give_up(self, delivery: Delivery) -> None: ...

    async def release(self) -> None: ...

    def close(self) -> None: ...


def _lanes() -> Any:
    """Return lanes of one priority, which do not know for how long they have been running."""
    from bridge.processing import lanes

    class Plain(lanes.Lanes[Any]):
        def put(self, key: Hashable, item: Any, rank: int = 0) -> None:
            waiting: Any = self._lanes.get(key)
            if waiting is not None:
                waiting.append(item)
                return
            waiting = self._lanes[key] = deque([item])  # type: ignore[assignment]
            self.start(self._run_all(key, waiting))

        async def _run_all(self, key: Hashable, waiting: deque[Any]) -> None:
            while waiting and not self.draining.is_set():
                await self._run(waiting.popleft())
            if not waiting:
                del self._lanes[key]

    return Plain


def _pausing() -> AbstractContextManager[None]:
    return nullcontext()


def without_fairness() -> Iterator[tuple[str, Any, str, Any]]:
    """Yield what to replace: the part, where, its name, and by what."""
    from bridge.processing import generation, lanes, processor

    yield "slots", processor, "Slots", Slots
    yield "budgets", processor, "RetryBudgets", RetryBudgets
    yield "overflow", generation, "Overflows", Overflows
    yield "locks", generation, "Partitions", Partitions
    yield "lanes", generation, "Lanes", _lanes()
    yield "lanes", lanes, "began", lambda: None
    yield "lanes", lanes, "ended", lambda: None
    yield "lanes", lanes, "pausing", _pausing


class Recipients:
    """No recipient has a pace."""

    waiting = 0
    reserved = frozenset[object]()

    def opened(self) -> None: ...

    def wait(self, reply: object) -> float:
        return 0.0

    def called(self, lane: object) -> None: ...

    def left(self, lane: object) -> None: ...


def without_pacing() -> Iterator[tuple[str, Any, str, Any]]:
    """Yield what to replace, as `without_fairness` does."""
    from bridge.delivery import role

    yield "pacing", role, "_recipients", lambda node, channel: Recipients()


def replace(parts: str) -> None:
    """Replace all but some parts in this process."""
    if parts.startswith(ALL_BUT):
        left_out = parts[len(ALL_BUT) :]
        replaced = [each for each in without_fairness() if each[0] == left_out]
        assert replaced, parts
    else:
        replaced = [] if parts in FAIRNESS else [*without_fairness()]
        replaced += [] if parts in PACING else [*without_pacing()]
    for part, where, name, what in replaced:
        assert hasattr(where, name), name
        if part != parts:
            setattr(where, name, what)


if __name__ == "__main__":
    from bridge.cli import main

    replace(sys.argv[1])
    main(sys.argv[2:])
