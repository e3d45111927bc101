"""Counts durations in fine buckets, so that a percentile is at most `ERROR` wrong.

The buckets are those of DDSketch (Masson, Rim and Lee, 2019): each is a constant factor wider than
the one before. A duration between `SHORTEST` and `LONGEST` differs from the middle of its bucket by
at most `ERROR`, relative to the duration. Sketches of several processes are added up bucket by
bucket, without a further error.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping

ERROR = 0.025
"""Relative error of a percentile: 2.5 %."""
SHORTEST = 0.0001
"""Seconds; a shorter duration counts as this."""
LONGEST = 7 * 24 * 3600.0
"""Seconds; a longer duration counts as this."""

_FACTOR = (1 + ERROR) / (1 - ERROR)
_LOG = math.log(_FACTOR)


LOWEST, HIGHEST = (math.ceil(math.log(seconds) / _LOG) for seconds in (SHORTEST, LONGEST))
"""The first and the last bucket."""
_BOUNDS = [_FACTOR**bucket for bucket in range(LOWEST, HIGHEST)]
"""The longest duration of each bucket but the last."""


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that holds a duration."""
    return LOWEST + bisect_left(_BOUNDS, seconds)


def buckets_of(durations: Iterable[float]) -> list[int]:
    """Return the bucket of each duration, in less time."""
    return [LOWEST + bisect_left(_BOUNDS, seconds) for seconds in durations]


def middle(bucket: int) -> float:
    """Return the duration in seconds that stands for all in a bucket."""
    return float(2 * _FACTOR**bucket / (_FACTOR + 1))


def quantile(q: float, counts: Mapping[int, float]) -> float:
    """Return a duration that the part `q` of all does not exceed; `counts` must not be empty.

    The counts need not be whole numbers: a rate serves as well.
    """
    wanted = q * sum(counts.values())
    seen = 0.0
    bucket = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted * (1 - 1e-12):
            break
    return middle(bucket)
