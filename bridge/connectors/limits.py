"""Rate limits: of a channel's calls in total, and of the calls to each recipient.

The keys of every channel: `rate_limit` and `burst` limit all its calls, `rate_limit_per_recipient`
and `burst_per_recipient` replace the limits per recipient that the service has published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bridge.errors import SettingsError

OFF = ("none", "off")
"""Values that switch a limit off."""
BURST_SHARE = 0.1
"""Default burst of a channel, as a share of the calls of a second."""


@dataclass(frozen=True)
class RateLimit:
    """A token bucket: never more than `rate` × t + `burst` calls in any t seconds."""

    rate: float
    """Calls per second on average, above 0."""
    burst: int = 1
    """Calls that may be made at once after a pause, at least 1."""

    @cached_property
    def interval(self) -> float:
        """Seconds between two calls without a burst."""
        return 1 / self.rate

    @cached_property
    def slack(self) -> float:
        """Seconds before a bucket is full from which on it has a token."""
        return (self.burst - 1) * self.interval


@dataclass(frozen=True)
class Limits:
    """The limits in one section of credentials.yml."""

    total: RateLimit | None = None
    """The limit of all calls; None: no limit."""
    per_recipient: tuple[RateLimit, ...] | None = None
    """The limits of the calls to each recipient; None: those of the connector."""


def limits_from(settings: dict[str, Any]) -> Limits:
    """Take the keys of the limits out of a section.

    Raises:
        SettingsError: names the key that is wrong.
    """
    total = _limit(settings, "rate_limit", "burst")
    each = _limit(settings, "rate_limit_per_recipient", "burst_per_recipient")
    return Limits(total or None, None if each is None else (each,) if each else ())


def _limit(settings: dict[str, Any], key: str, burst_key: str) -> RateLimit | Literal[False] | None:
    """Return a limit, False if it is switched off, or None if it is not set."""
    rate = _rate(key, settings.pop(key, None))
    burst = _burst(burst_key, settings.pop(burst_key, None))
    if rate:
        return RateLimit(rate, burst or (_share(rate) if key == "rate_limit" else 1))
    if burst is not None:
        raise SettingsError(f"key '{burst_key}' needs '{key}'", fix=f"set '{key}', too")
    return False if rate is False else None


def _share(rate: float) -> int:
    """Return the default burst of a channel."""
    return max(1, int(rate * BURST_SHARE))


def _rate(key: str, value: Any) -> float | Literal[False] | None:
    """Return calls per second; the value may be a text, from `${NAME}`."""
    if value is None:
        return None
    if value is False or (isinstance(value, str) and value.strip().lower() in OFF):
        return False
    try:
        rate = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        rate = 0.0
    if not 0 < rate < math.inf:
        raise SettingsError(
            f"key '{key}' must be a number of calls per second, above 0", fix="or write: none"
        )
    return rate


def _burst(key: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        burst = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        burst = 0.0
    if not (1 <= burst < math.inf and burst == int(burst)):
        raise SettingsError(f"key '{key}' must be a whole number of calls, at least 1")
    return int(burst)
