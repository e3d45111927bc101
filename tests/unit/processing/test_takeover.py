"""Whether another process waits for a partition: two looks in a row must find it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.broker.topology import Depth
from bridge.processing.takeover import LOOK_EVERY, Takeover
from bridge.processing.windows import Partition


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.ready = 3
        self.looks = 0
        self.partition = Partition(held=1, arrived=7)
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("bridge.processing.takeover.time", clock)
        window: Any = SimpleNamespace(prefetch=16, depth=self._depth)
        self._takeover = Takeover("q", self.partition, window)

    async def _depth(self, queue: str) -> Depth:
        self.looks += 1
        return Depth(self.ready, 1)

    async def look(self, after: float = LOOK_EVERY) -> bool:
        self.now += after
        return await self._takeover.is_pending()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


async def test_messages_that_wait_while_none_arrives_tell_it(bench: Bench) -> None:
    assert [await bench.look() for _ in range(3)] == [False, True, True]


async def test_one_look_serves_all_lanes_of_the_partition(bench: Bench) -> None:
    assert [await bench.look(0.0 if n % 4 else LOOK_EVERY) for n in range(8)] == 4 * [False] + 4 * [
        True
    ]
    assert bench.looks == 2


@pytest.mark.parametrize("what", ["nothing waits", "the window is full", "a message arrived"])
async def test_it_is_not_told_without_evidence(bench: Bench, what: str) -> None:
    assert not await bench.look()
    if what == "nothing waits":
        bench.ready = 0
    elif what == "the window is full":
        bench.partition.held = 16
    else:
        bench.partition.arrived += 1
    assert not await bench.look()


async def test_it_is_over_as_soon_as_a_message_arrives(bench: Bench) -> None:
    assert [await bench.look() for _ in range(2)] == [False, True]
    bench.partition.arrived += 1
    assert not await bench.look(0.0)
