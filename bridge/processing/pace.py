"""Delays the attempts of some lanes, so that their calls keep to a rate. Interfaces only."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol, TypeVar

M_contra = TypeVar("M_contra", contravariant=True)


class Pace(Protocol[M_contra]):
    """Delays the attempts at the messages of some lanes; `delivery.recipients` is one."""

    def wait(self, message: M_contra) -> float:
        """Return the seconds until its lane may try again; 0: an attempt may start now."""

    def left(self, lane: Hashable) -> None:
        """Note that a lane makes no attempt for now: nothing is kept for it."""

    def opened(self) -> None:
        """Note that a new generation starts: lanes may have run elsewhere meanwhile."""
