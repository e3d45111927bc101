"""Durations as people write them: `90s`, `10m`, `1h30m`, `2d`."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_age(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `10m`, `1h30m` or `2d`.

    Raises:
        ValueError: the text is not a duration.
    """
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text, re.ASCII):
        raise ValueError(f"{text!r} is not a duration: write it as 90s, 10m, 2h or 1d")
    parts = re.findall(r"([\d.]+)([smhd])", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def age(seconds: float) -> str:
    """Return a duration in its largest unit, rounded down, such as `10m`."""
    unit = next((u for u in "dhm" if seconds >= _UNITS[u]), "s")
    return f"{max(seconds, 0) // _UNITS[unit]:.0f}{unit}"


def spelled(seconds: float) -> str:
    """Return a duration for a sentence, rounded to seconds, such as `1 h 30 min` or `20 s`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = (
        f"{number} {unit}"
        for number, unit in ((hours, "h"), (minutes, "min"), (rest, "s"))
        if number
    )
    return " ".join(parts) or "0 s"
