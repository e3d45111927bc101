"""Retry schedules: exponential back-off with full jitter. No clock, no I/O.

Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is repeated, and when to give up. All times are in seconds.

    The age limit is short because a waiting lane also delays the takeover of its partition.
    """

    base: float = 0.5
    cap: float = 30.0
    max_attempts: int = 100
    max_age: float = 120.0

    def delay(
        self,
        attempt: int,
        age: float,
        retry_after: float | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt` (1, 2, …), or None.

        `age` is the time since the first attempt started. `retry_after` is honoured in full, also
        beyond `cap`. None means to give up: the next attempt would be one too many, or too late.
        """
        if attempt >= self.max_attempts:
            return None
        wait = backoff(attempt, self.base, self.cap, uniform)
        if retry_after is not None:
            wait = max(wait, retry_after)
        return wait if age + wait <= self.max_age else None


def backoff(
    failures: int,
    base: float = 0.2,
    cap: float = 10.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return a random delay in seconds between 0 and base·2^(failures-1), at most `cap`."""
    ceiling = min(cap, base * 2.0 ** min(failures - 1, 32))
    return uniform(0.0, ceiling)
