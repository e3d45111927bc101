"""The gate of a flow: closed while its service is down, or while an operator has paused it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from bridge.processing.gate import Gate, HeldBack, OpenGate


class Paused(Exception):
    """The flow was paused before the attempt began, so it must wait at the gate again."""


class PausableGate:
    """A `Gate` that an operator may close, too (`broker.pauses`).

    Messages wait in their lanes and on their queues, unsettled, as they do while a service is down:
    none is returned, and the wait counts neither as an attempt nor as retry time.
    """

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate or OpenGate()
        self.is_paused = False
        """Whether an operator has paused the flow."""
        self._resumed = asyncio.Event()
        self._resumed.set()
        self.is_paused = False
        """Whether an operator has paused the flow."""
        self.on_pause: Callable[[], None] = lambda: None
        """Called when the flow is paused: calls that wait for something else must not be made."""

    @property
    def is_down(self) -> bool:
        """Whether the service is down."""
        return not self._gate.is_open

    @property
    def is_open(self) -> bool:
        return not self.is_paused and self._gate.is_open

    @property
    def held_back(self) -> HeldBack | None:
        """Why calls are held back because the service is down."""
        return self._gate.held_back

    @property
    def accepted_at(self) -> float:
        """When the service accepted something last (monotonic clock)."""
        return self._gate.accepted_at

    async def passage(self, lane: Hashable) -> None:
        while not self.is_open:
            await self._resumed.wait()
            if not self._gate.is_open:
                await self._gate.passage(lane)
                if not self.is_paused:
                    return

    def pause(self) -> None:
        """Let no attempt start. Those that run go on."""
        self.is_paused = True
        self._resumed.clear()
        self.on_pause()

    def resume(self) -> None:
        """Let attempts start again."""
        self.is_paused = False
        self._resumed.set()

    def try_now(self) -> None:
        """If the service is down, let an attempt probe it now."""
        self._gate.try_now()
