"""What holds back attempts while a service is down as a whole; `delivery/breaker.py` is one."""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    """Holds back attempts while a service is down as a whole."""

    @property
    def is_open(self) -> bool: ...

    async def passage(self) -> None:
        """Return when an attempt may be made."""


class OpenGate:
    is_open = True

    async def passage(self) -> None:
        return None
