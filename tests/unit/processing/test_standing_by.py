"""A queue has an active consumer after its messages were requeued for another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from bridge.broker.places import Depth
from bridge.processing.returns import Returns
from bridge.processing.takeover import Takeovers
from tests.support.virtual_time import virtually

QUEUE = "test.inbound-high.00"


class Window:
    """The link to a broker that tells so many active consumers, look by look."""

    def __init__(self, *consumers: int) -> None:
        self.consumers = deque(consumers)
        self.stood_by = 0

    async def depth(self, queue: str) -> Depth:
        return Depth(ready=1, consumers=self.consumers.popleft())

    async def stand_by(self, queue: str) -> None:
        self.stood_by += 1


async def stands_by(window: Window, held: int = 0) -> int:
    """Return how often the process consumes the queue again."""

    async def insist(call: Callable[[], Awaitable[Any]], what: str) -> Any:
        return await call()

    windows: Any = {QUEUE: SimpleNamespace(held=held)}
    link: Any = window
    delivery: Any = SimpleNamespace(queue=QUEUE)
    await Takeovers(windows, Returns(), link, insist).stand_by([delivery])
    return window.stood_by


@virtually
async def test_a_queue_without_an_active_consumer_is_consumed_again() -> None:
    assert await stands_by(Window(0)) == 1


@virtually
async def test_a_look_that_overtakes_the_requeue_is_repeated() -> None:
    """The old consumer still counts as active in the first one."""
    assert await stands_by(Window(1, 0)) == 1


@virtually
async def test_a_queue_with_another_active_consumer_is_left_alone() -> None:
    assert await stands_by(Window(1, 1, 1)) == 0


@virtually
async def test_a_queue_that_delivers_to_this_process_is_left_alone() -> None:
    assert await stands_by(Window(0, 0, 0), held=1) == 0
