"""Retry schedules: exponential back-off with full jitter. No clock, no I/O.

Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from bridge.errors import WaitTooLong
from bridge.runtime.durations import spelled

LONGEST_WAIT = 3600.0
"""Longest Retry-After in seconds that is obeyed, and the longest time that a message waits because
its service asked for it. What asks for more is dead-lettered."""


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
        *,
        asked: int = 0,
    ) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt` (1, 2, …), or None.

        `age` is the time since the first attempt started, without what the service asked to wait.
        `retry_after` is honoured in full, also beyond `cap`, and never counts as age. `asked` of
        the attempts do not count, because the service asked to wait after them. None means to give
        up: the next attempt would be one too many, or too late.
        """
        if attempt - asked >= self.max_attempts:
            return None
        own = backoff(attempt, self.base, self.cap, uniform)
        wait = max(own, retry_after or 0.0)
        return wait if age + wait - (retry_after or 0.0) <= self.max_age else None


def backoff(
    failures: int,
    base: float = 0.2,
    cap: float = 10.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return a random delay in seconds between 0 and base·2^(failures-1), at most `cap`."""
    ceiling = min(cap, base * 2.0 ** min(failures - 1, 32))
    return uniform(0.0, ceiling)


def too_long(error: Exception, retry_after: float, obeyed: float) -> WaitTooLong:
    """Return the error for a Retry-After, in seconds, that is not obeyed.

    `obeyed` is the time that the message has waited already because its service asked for it.
    """
    already = f" after {spelled(obeyed)}" if obeyed else ""
    late = WaitTooLong(
        f"the service asks to wait {spelled(retry_after)}{already} (Retry-After): {error}",
        retry_after,
    )
    late.__cause__ = error
    return late
