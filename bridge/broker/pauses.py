"""What an operator asks of running processes: to pause a flow, to resume it, to probe a service.

The request is the depth of a queue, so it outlives every process and needs no one to answer it:

| queue | a message in it |
| --- | --- |
| `<ns>.paused.<flow>[.<channel>]` | the flow is paused |
| `<ns>.paused.note.<flow>[.<channel>]` | the same message: who paused it, when and why |
| `<ns>.paused.probe.<flow>.<channel>` | its service must be probed now; the message expires |

Each consumer looks at the depth over its connection, before it consumes anything and once a second.
The note has a queue for itself, because reading takes it off for a moment, and a look must not find
the flow resumed then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from bridge.broker.connection import Connection
from bridge.broker.library import answer, translated
from bridge.broker.topology import Queue, Topology
from bridge.errors import AccessRefused, BrokerError, BrokerUnavailable, NotDeclared
from bridge.messages import UNREADABLE

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds to wait for the broker's answer."""
ABSENT = 30.0
"""Seconds between two looks for a queue that does not exist and may not be declared here."""
PROBE_EXPIRES = 4000
"""Milliseconds for which a request to probe is valid: every process looks once a second."""
KIND = "pause"
"""AMQP `type` of the messages."""
_ONE = {"x-queue-type": "quorum", "x-max-length": 1}


class PauseNote(msgspec.Struct, frozen=True):
    """Who paused a flow, when and why."""

    at: float
    """Unix time."""
    by: str
    reason: str = ""


class Pausable(Protocol):
    """What a flow's consumer tells of an operator's requests; `processing.pause` is one."""

    def pause(self) -> None:
        """Start nothing new."""

    def resume(self) -> None:
        """Go on."""

    def try_now(self) -> None:
        """Probe the service now, if it is down."""

    @property
    def is_down(self) -> bool:
        """Whether a service is down, so that a probe may be asked for."""


def paused_queue(topology: Topology, flow: str, channel: str = "") -> Queue:
    """Return the queue that holds a message while a flow, or a channel's replies, are paused."""
    return _queue(topology, f"{flow}.{channel}".rstrip("."), _ONE)


def note_queue(topology: Topology, flow: str, channel: str = "") -> Queue:
    """Return the queue that holds the `PauseNote`. It gets every message of `paused_queue`."""
    paused = paused_queue(topology, flow, channel)
    # Each look returns the message: see `arguments.DEAD`.
    arguments = {**_ONE, "x-delivery-limit": 1_000_000_000}
    note = _queue(topology, f"note.{flow}.{channel}".rstrip("."), arguments)
    return Queue(note.name, note.exchange, paused.routing_key, arguments)


def probe_queue(topology: Topology, flow: str, channel: str) -> Queue:
    """Return the queue that holds a message while the service of a channel must be probed."""
    return _queue(topology, f"probe.{flow}.{channel}", {**_ONE, "x-message-ttl": PROBE_EXPIRES})


def pause_queues(topology: Topology, flow: str, channel: str) -> list[str]:
    """Return the names of the queues of one flow: those above."""
    queues = [paused_queue(topology, flow, channel), note_queue(topology, flow, channel)]
    if channel:
        queues.append(probe_queue(topology, flow, channel))
    return [queue.name for queue in queues]


def _queue(topology: Topology, key: str, arguments: dict[str, Any]) -> Queue:
    key = f"paused.{key}"
    return Queue(f"{topology.namespace}.{key}", topology.reports_exchange, key, arguments)


async def pause(
    connection: Connection, topology: Topology, flow: str, channel: str, note: PauseNote
) -> None:
    """Pause a flow until it is resumed; return once the broker has stored that.

    Raises:
        BrokerError: it is not certain that the flow is paused.
    """
    queues = [paused_queue(topology, flow, channel), note_queue(topology, flow, channel)]
    await _put(connection, queues, msgspec.json.encode(note))


async def resume(connection: Connection, topology: Topology, flow: str, channel: str) -> bool:
    """Resume a flow; return whether it was paused.

    Raises:
        BrokerError: it is not certain that the flow is resumed.
    """
    was_paused = False
    for queue in (paused_queue(topology, flow, channel), note_queue(topology, flow, channel)):
        with suppress(NotDeclared):
            was_paused = await _within(connection, _purge(connection, queue.name)) or was_paused
    return was_paused


async def probe(connection: Connection, topology: Topology, flow: str, channel: str) -> None:
    """Have the service of a channel probed now, by every process for which it is down.

    Raises:
        BrokerError: the request was not stored.
    """
    await _put(connection, [probe_queue(topology, flow, channel)], b"{}")


async def read_note(
    connection: Connection, topology: Topology, flow: str, channel: str
) -> PauseNote | None:
    """Return who paused a flow, when and why; None if it is not known (now).

    Raises:
        BrokerError: the broker did not answer.
    """
    with suppress(NotDeclared, *UNREADABLE):
        body = await _within(
            connection, _look(connection, note_queue(topology, flow, channel).name)
        )
        return msgspec.json.decode(body, type=PauseNote) if body else None
    return None


async def _look(connection: Connection, queue: str) -> bytes | None:
    async with connection.channel() as channel:
        message = await (await channel.get_queue(queue, ensure=False)).get(fail=False)
        return None if message is None else bytes(message.body)  # closing returns the message


async def _purge(connection: Connection, queue: str) -> bool:
    async with connection.channel() as channel:
        purged = await (await channel.get_queue(queue, ensure=False)).purge()
        return bool(purged.message_count)


async def _within(connection: Connection, call: Awaitable[T]) -> T:
    """Await a call.

    Raises:
        BrokerUnavailable: no answer within `TIMEOUT` seconds.
    """
    try:
        return await answer(call, TIMEOUT, connection.lost_with)
    except asyncio.TimeoutError as error:
        raise BrokerUnavailable(f"no answer within {TIMEOUT:g} s") from error


async def _put(connection: Connection, queues: list[Queue], body: bytes) -> None:
    # Checked first: RabbitMQ closes the channel of a binding to an exchange that does not exist.
    await connection.declare((queues[0].exchange,), [], passive=True)
    await connection.declare((), queues, passive=False)
    async with connection.own_channel() as channel:
        await channel.publish(
            queues[0].exchange,
            queues[0].routing_key,
            body,
            kind=KIND,
            message_id=queues[0].routing_key,
            timeout=TIMEOUT,
        )


class PauseWatch:
    """Looks for the requests that concern one flow, and passes them on."""

    def __init__(
        self,
        topology: Topology,
        flow: str,
        channel: str,
        target: Pausable,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = f"{flow} {channel}".rstrip()
        self._clock = clock
        self._paused = _Mark(paused_queue(topology, flow, channel))
        self._probe = _Mark(probe_queue(topology, flow, channel)) if channel else None
        self._target = target
        self._is_paused = False
        self._is_probing = False
        self._connection: Connection | None = None
        self._channel: Any = None
        self._problem = ""

    async def look(self, connection: Connection) -> None:
        """Look once. Without an answer, what was known before stays in force."""
        if self._connection is not connection:
            self._connection, self._channel = connection, None
        try:
            await self._look_for_pause()
            if self._probe is not None:
                await self._look_for_probe(self._probe)
            self._problem = ""
        except (BrokerError, asyncio.TimeoutError) as error:
            if connection.health.is_alive() and not self._problem:
                self._problem = str(error) or "no answer in time"
                log.warning("%s: cannot see whether it is paused: %s", self._name, self._problem)

    async def _look_for_pause(self) -> None:
        is_paused = bool(await self._depth(self._paused))
        if is_paused == self._is_paused:
            return
        self._is_paused = is_paused
        if is_paused:
            log.warning("paused by an operator; to go on: rasa-bridge resume %s", self._name)
            self._target.pause()
        else:
            log.warning("resumed by an operator")
            self._target.resume()

    async def _look_for_probe(self, mark: _Mark) -> None:
        """Pass a request on once, however many looks find it."""
        is_wanted = self._target.is_down and bool(await self._depth(mark))
        if is_wanted and not self._is_probing:
            log.warning("an operator asks to probe the service now")
            self._target.try_now()
        self._is_probing = is_wanted

    async def _depth(self, mark: _Mark) -> int:
        if self._clock() < mark.next_look:
            return 0
        is_passive = mark.exists or not mark.may_declare
        try:
            depth = await self._declare(mark.queue, passive=is_passive)
        except AccessRefused:
            self._channel = None  # the broker has closed it
            if is_passive:
                raise
            mark.may_declare = False
            return await self._depth(mark)
        except NotDeclared:
            self._channel = None
            mark.exists = False
            if not mark.may_declare:
                mark.next_look = self._clock() + ABSENT
            return 0
        mark.exists = True
        return depth

    async def _declare(self, queue: Queue, *, passive: bool) -> int:
        connection = self._connection
        assert connection is not None
        if self._channel is None:
            self._channel = await connection.unconfirmed_channel(self._closed)
        with translated():
            declaring = self._channel.declare_queue(
                queue.name, durable=True, arguments=queue.arguments, passive=passive
            )
            declared = await answer(declaring, TIMEOUT, connection.lost_with)
        return int(declared.declaration_result.message_count or 0)

    def _closed(self, _: BrokerError) -> None:
        self._channel = None


@dataclass
class _Mark:
    """A queue whose depth says something. It is declared here, if the broker user may do that."""

    queue: Queue
    exists: bool = False
    may_declare: bool = True
    next_look: float = float("-inf")
    """Monotonic time before which it is not worth a look: RabbitMQ logs each as an error."""
