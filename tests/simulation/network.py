"""The network between processes and the model broker: latency, cuts, alarms, lost confirms.

Frames of a connection arrive in order, each way. A cut loses what is under way; both ends notice it
at their own time, so for a while the broker may have given a message to someone else without the
first process knowing it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bridge.errors import BrokerUnavailable
from tests.simulation.broker import Broker, Channel
from tests.simulation.loop import Process, Universe

HEARTBEAT = 10
"""Seconds."""
URL = f"amqp://model/?heartbeat={HEARTBEAT}"
NEVER = float("inf")


@dataclass
class Faults:
    """What can go wrong with any frame, as probabilities."""

    latency: float = 0.002
    """Usual seconds at most for one frame."""
    stall: float = 0.0
    """A frame takes up to `STALL` seconds."""
    lost_confirm: float = 0.0
    """The message is stored, and its confirm never comes."""
    lost_publish: float = 0.0
    """The message is not stored, and no confirm comes."""
    late_confirm: float = 0.0
    refused: float = 0.0
    """The broker answers with a nack."""
    notices: float = 33.0
    """Seconds after which the library ends a silent connection: 33 (aiormq 7) or 183 (aiormq 6)."""


STALL = 1.5
LATE = 8.0
"""Seconds at most that a late confirm takes: more than anyone waits for it."""


class Network:
    """All connections to the broker; stands in for `bridge.broker.addresses`."""

    def __init__(self, universe: Universe, broker: Broker, faults: Faults) -> None:
        self.universe = universe
        self.random = universe.random
        self.broker = broker
        self.faults = faults
        self.is_up = True
        self.alarm = False
        self.alarm_ended = -NEVER
        """When the latest alarm ended."""
        self.connections: list[Wire] = []
        self.unreachable: set[str] = set()
        """Names of processes that are cut off from the broker."""

    def latency(self) -> float:
        stalled = self.faults.stall and self.random.random() < self.faults.stall
        return self.random.random() * (STALL if stalled else self.faults.latency)

    async def connect(self, heartbeat: float) -> Wire:
        """Open a connection for the running process; `heartbeat` is in seconds.

        Raises:
            BrokerUnavailable: refused, or no answer.
        """
        process = asyncio.get_running_loop()
        assert isinstance(process, Process)
        await asyncio.sleep(self.latency() * 3)
        if process.name in self.unreachable:
            await asyncio.sleep(2.5)
            raise BrokerUnavailable("no answer in time")
        if not self.is_up:
            raise BrokerUnavailable("connection refused")
        wire = Wire(self, process, heartbeat)
        self.connections.append(wire)
        process.on_death.append(wire.end)
        return wire

    def start_alarm(self) -> None:
        self.alarm = True

    def end_alarm(self) -> None:
        self._note_end()
        for wire in list(self.connections):
            wire.unblock()

    def stop_broker(self) -> None:
        """Stop or kill the broker: all connections end, queues and counters stay."""
        self.is_up = False
        for wire in list(self.connections):
            wire.cut(self.universe.now, self.random.random() * 0.2)
        self.broker.crash()

    def start_broker(self) -> None:
        self.is_up = True
        self._note_end()

    def _note_end(self) -> None:
        if self.alarm:
            self.alarm, self.alarm_ended = False, self.universe.now

    def had_alarm(self, seconds: float) -> bool:
        """Whether there was an alarm within so many seconds until now."""
        return self.alarm or self.alarm_ended > self.universe.now - seconds


class Wire:
    """One TCP connection, with the broker's channels at its other end."""

    def __init__(self, network: Network, process: Process, heartbeat: float) -> None:
        self.network = network
        self.process = process
        self.heartbeat = heartbeat
        self.server_channels: list[Channel] = []
        self.on_lost: Callable[[], None] = lambda: None
        """Called in the process when it learns that the connection is gone."""
        self.on_blocked: Callable[[bool], None] = lambda blocked: None
        self.is_told = False
        """Whether the process knows that the connection is gone."""
        self.has_ended = False
        """Whether the broker knows that."""
        self._universe = network.universe
        self._sent = self._received = 0.0
        self._up_until = self._down_until = NEVER
        self._blocked = False
        self._backlog: deque[Callable[[], None]] = deque()

    @property
    def is_cut(self) -> bool:
        """Whether it loses frames, or has ended."""
        return self.has_ended or self._up_until != NEVER or self._down_until != NEVER

    def open_channel(self) -> Channel:
        channel = Channel(self.network.broker, self.process.name, self.network.broker.watcher, self)
        self.server_channels.append(channel)
        return channel

    def send(self, frame: Callable[[], None], *, publishes: bool = False) -> None:
        """Have the broker do something, as soon as the frame arrives."""
        if not self.is_told and self.process.is_alive:
            self._sent = max(self._sent, self._universe.now + self.network.latency())
            self._universe.at(self._sent, partial(self._arrive, frame, publishes))

    def _arrive(self, frame: Callable[[], None], publishes: bool) -> None:
        if self.has_ended or self._universe.now > self._up_until:
            return
        if publishes and self.network.alarm and not self._blocked:
            self._blocked = True
            self.receive(lambda: self.on_blocked(True))
        if self._blocked:
            self._backlog.append(frame)
        else:
            frame()

    def unblock(self) -> None:
        if self._blocked:
            self._blocked = False
            self.receive(lambda: self.on_blocked(False))
            while self._backlog and not self.has_ended:
                self._backlog.popleft()()

    def receive(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the process do something, as soon as the broker's frame arrives."""
        if not self.has_ended:
            self._received = max(self._received, self._universe.now + self.network.latency())
            self._universe.at(self._received, partial(self._reach, callback, args))

    def _reach(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        alive = self.process.is_alive and not self.is_told
        if alive and self._universe.now <= self._down_until:
            self.process.call_soon(callback, *args)

    def cut(self, broker_at: float, client_delay: float | None) -> None:
        """Lose the connection; the broker notices at `broker_at`, the client after `client_delay`
        seconds (None: the library does, in the end)."""
        now, random = self._universe.now, self.network.random.random
        self._up_until = min(self._up_until, now + (broker_at - now) * random())
        self._down_until = min(self._down_until, now + (client_delay or 0.0) * random())
        self._universe.at(broker_at, self.drop)
        library = self.network.faults.notices * self.heartbeat / HEARTBEAT
        notices = library if client_delay is None else client_delay
        self._universe.after(notices, self.tell)

    def tell(self) -> None:
        """Have the process learn that the connection is gone."""
        if self.process.is_alive and not self.is_told:
            self.process.call_soon(self._told)

    def _told(self) -> None:
        if not self.is_told:
            self.is_told = True
            self.on_lost()

    def drop(self) -> None:
        """The broker forgets the connection: what its channels held returns to the queues."""
        if self.has_ended:
            return
        self.has_ended = True
        self._backlog.clear()
        self.network.connections.remove(self)
        for channel in self.server_channels:
            # Nothing says that RabbitMQ ends all of them at the same moment.
            self._universe.after(self.network.latency(), channel.close)

    def end(self) -> None:
        """Close the socket: the broker sees its end after everything that was sent."""
        self._sent = max(self._sent, self._universe.now + self.network.latency())
        if self._up_until == NEVER:
            self._universe.at(self._sent, self.drop)
