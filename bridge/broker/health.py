"""Whether a connection is alive, lost, or blocked by an alarm of the broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bridge.broker import alarm
from bridge.broker.confirms import ConfirmChannel
from bridge.broker.library import FOREIGN, answer, translation
from bridge.errors import BrokerError, BrokerUnavailable

STALE = 2.5
"""Heartbeats without a sign of life after which a connection counts as lost. RabbitMQ drops a
client after two."""
TICK = 0.25
"""Seconds between two looks at the clock and at alarms."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has one that goes on while the machine is suspended."""


def now() -> float:
    """Return the seconds since the machine started, including those that it was suspended."""
    return time.clock_gettime(CLOCK)


class Health:
    """The state of one connection; `watch` it as a task."""

    def __init__(
        self,
        connection: Any,
        underlay: Any,
        heartbeat: float,
        reads: Callable[[], int] = lambda: 0,
    ) -> None:
        """`connection` is aio_pika's, `underlay` aiormq's; `heartbeat` is in seconds.

        `reads` returns how often the socket was read, if that is known.
        """
        self.lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        """Completes, with the reason, when the connection or one of its channels has closed."""
        self.blocked = ""
        """The alarm because of which the broker reads nothing from this connection, or ""."""
        self.on_alarm: Callable[[], object] = lambda: None
        """Called whenever `blocked` changes."""
        self.publishing: list[ConfirmChannel] = []
        """The channels to which alarms are passed on."""
        self._connection = connection
        self._underlay = underlay
        self._heartbeat = heartbeat
        self._reads = reads
        self._read = 0
        self._looked = now()
        """When it looked last."""
        self._until = self._looked + STALE * heartbeat
        """When it counts as lost unless there is another sign of life before."""

    def close(self, _: Any, error: BaseException | None = None) -> None:
        """Note that the connection has closed; this is a close callback of aio_pika."""
        if not self.lost.done():
            self.lost.set_result(described(error))

    def is_alive(self) -> bool:
        """Return whether the connection may still be used.

        After a pause of this process (SIGSTOP, a suspended machine), the broker may have dropped
        the connection and redelivered its messages. So without a sign of life for `STALE`
        heartbeats, the connection is lost from now on, whatever still arrives.
        """
        if now() > self._until:
            self.close(None, BrokerUnavailable("the broker is silent"))
        return not self.lost.done()

    def is_blocked(self) -> bool:
        """Look whether an alarm blocks the connection: then the broker answers nothing."""
        self._look()
        return bool(self.blocked)

    @property
    def problem(self) -> str:
        """Why nothing can be published, or ""."""
        return f"RabbitMQ blocks publishers: {self.blocked}" if self.blocked else ""

    async def watch(self) -> None:
        """Send a request every heartbeat; note the answers and the alarms until it is lost.

        aiormq 6 (aio-pika 8) sends heartbeats but does not notice missing ones.
        """
        try:
            channel = await answer(self._connection.channel(), STALE * self._heartbeat)
            while self.is_alive():
                next_request = now() + self._heartbeat
                while self._look():
                    if now() >= next_request:
                        await self._ask(channel)
                        break
                    await asyncio.wait([self.lost], timeout=TICK)
        except (*FOREIGN, BrokerError) as error:
            self.close(None, error)

    async def _ask(self, channel: Any) -> None:
        """Send a request; return once it is answered, or the connection is lost."""
        asked = asyncio.ensure_future(answer(channel.set_qos(prefetch_count=1)))
        try:
            while not asked.done() and self._look():
                await asyncio.wait([asked], timeout=TICK)
            if asked.done():
                asked.result()
                self._note_life()
        finally:
            asked.cancel()

    def _note_life(self) -> None:
        if self.is_alive():  # an answer that waited in the socket during a pause proves nothing
            self._until = now() + STALE * self._heartbeat

    def _listen(self) -> None:
        """Note what arrived since the last look: an answer may take long in a starved process.

        RabbitMQ sends a heartbeat every half of one. What waited during a pause proves nothing.
        """
        before, self._looked = self._looked, now()
        read, self._read = self._read, self._reads()
        if self._read != read and self._looked - before < self._heartbeat:
            self._note_life()

    def _look(self) -> bool:
        """Look at the clock and for an alarm; return whether the connection is alive."""
        if not self.is_alive():
            return False
        self._listen()
        blocked = alarm.reason(self._underlay) if alarm.is_blocked(self._underlay) else ""
        if blocked:
            # No answer is due. RabbitMQ still sends heartbeats, and expects none.
            self._note_life()
        if blocked != self.blocked:
            self.blocked = blocked
            for channel in self.publishing:
                channel.block(self.problem) if blocked else channel.unblock()
            self.on_alarm()
        return True


def described(error: BaseException | None) -> BrokerError:
    """Return why a connection or channel closed."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, FOREIGN):
        return translation(error)
    return BrokerUnavailable(str(error or "") or "closed by the broker")
