"""Holds attempts back while a service is down. Interfaces only."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, Protocol


class HeldBack(NamedTuple):
    """Why a gate is closed."""

    why: str
    since: float
    """Unix time."""
    next_at: float
    """Unix time of the next probe; 0 if nothing waits for one."""


class Gate(Protocol):
    """Holds back all attempts while a service is down; `delivery.circuit_breaker` is one."""

    @property
    def is_open(self) -> bool:
        """Whether attempts may start now."""

    @property
    def held_back(self) -> HeldBack | None:
        """Why they may not, or None if they may."""

    @property
    def accepted_at(self) -> float:
        """When the service accepted something last (monotonic clock)."""

    async def passage(self, lane: Hashable) -> None:
        """Return when a lane may make an attempt."""

    def try_now(self) -> None:
        """Let a lane that waits make an attempt now."""


class OpenGate:
    """Never holds anything back."""

    is_open = True
    held_back: HeldBack | None = None
    accepted_at = float("inf")

    async def passage(self, lane: Hashable) -> None: ...

    def try_now(self) -> None: ...
