"""Delays the attempts of some lanes, so that their calls keep to a rate. Interfaces only."""

from __future__ import annotations

from typing import Protocol, TypeVar

M_contra = TypeVar("M_contra", contravariant=True)


class Pace(Protocol[M_contra]):
    """Delays the attempts at the messages of some lanes; `delivery.recipients` is one."""

    def wait(self, message: M_contra) -> float:
        """Return the seconds until its lane may try again; 0: an attempt may start now."""

    def opened(self) -> None:
        """Note that a new generation starts: lanes may have run elsewhere meanwhile."""
