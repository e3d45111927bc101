"""What is known of the attempts at one message. Plain data; `settlement.py` decides."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bridge.errors import BridgeError


@dataclass
class Failure:
    """What is known of the attempts at one message."""

    error: Exception = field(default_factory=BridgeError)
    reason: str = "failed"
    attempts: int = 1
    first_at: float = 0.0
    """Unix time of the first attempt."""
    started: float = 0.0
    """The same on the monotonic clock."""
    is_first: bool = True
    """No attempt was begun yet, not even one that is not counted."""

    def begin(self) -> bool:
        """An attempt begins; the time before it was waiting, not failing. Was it the first?"""
        if not self.started:
            self.first_at, self.started = time.time(), time.monotonic()
        was_first, self.is_first = self.is_first, False
        return was_first
