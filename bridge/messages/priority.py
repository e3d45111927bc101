"""The priority of an inbound message: who goes first when many wait."""

from __future__ import annotations

from typing import Literal

Priority = Literal["high", "normal", "low"]

HIGH: Priority = "high"
NORMAL: Priority = "normal"
LOW: Priority = "low"
PRIORITIES: tuple[Priority, ...] = (HIGH, NORMAL, LOW)
"""All priorities, the most urgent first."""
