"""An event loop whose clock jumps to the next timer: hours of waiting take milliseconds."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code without I/O. `time()` stands still while code runs."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        # A little further than the timer: floats that are added must not end before it.
        self._now += seconds + 1e-9


class _Jump(selectors.SelectSelector):
    """Instead of waiting for I/O, lets the loop's clock jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "every task waits for something that never happens"
            self._loop.jump(timeout)
        return ready


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that runs in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        # As in asyncio.run: what is left is cancelled and awaited.
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


def virtually(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a test run in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtually(test(*args, **kwargs))

    return run
