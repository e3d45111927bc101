"""What holds back attempts while a service is down as a whole; `delivery/breaker.py` is one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol


class Gate(Protocol):
    """Holds back attempts while a service is down as a whole."""

    @property
    def is_open(self) -> bool: ...

    async def passage(self, lane: Hashable) -> None:
        """Return when a lane may make an attempt."""


class OpenGate:
    is_open = True

    async def passage(self, lane: Hashable) -> None:
        return None
