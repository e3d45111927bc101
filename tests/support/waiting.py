"""Waiting for conditions. No test sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 60.0
"""Seconds until a test gives up on a condition: far more than a busy machine needs."""
OFTEN = 0.02
RARELY = 1.0
"""Shortest and longest pause between two looks at a condition, in seconds."""


async def eventually(
    condition: Callable[..., Any | Awaitable[Any]], what: str = "", patience: float = PATIENCE
) -> Any:
    """Return the first true value of `condition()`, which may be a coroutine function.

    It is called without arguments; `...` in its type allows `lambda n=n: …`. One that takes long,
    such as a command, is called less often: it would take the time of what it waits for.
    """
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        now = time.monotonic()
        if now > deadline:
            condition_text = what or inspect.getsource(condition)
            raise AssertionError(f"not within {patience:g} s: {condition_text}")
        await asyncio.sleep(min(max(OFTEN, 2 * (now - began)), RARELY))
