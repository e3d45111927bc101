"""Waiting for conditions. No test sleeps a guess."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 60.0
"""Seconds after which a condition counts as never true: far more than a busy machine takes."""


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]], what: str = "", patience: float = PATIENCE
) -> Any:
    """Return the first true value of `condition()`, which may be a coroutine function."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            condition_text = what or inspect.getsource(condition)
            raise AssertionError(f"not within {patience:g} s: {condition_text}")
        await asyncio.sleep(0.02)
