"""Stand-ins for tests without a broker: a publisher, deliveries, timers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.broker.queues import Queues
from bridge.broker.topology import Topology
from bridge.connectors.toolkit.request import Request
from bridge.errors import BridgeError
from bridge.messages import TYPES, Delivery, InboundMessage, Message, Reply, encode

Journal = list[tuple[str, str]]
"""Events in order: (what happened, message id)."""

PASSES = 200
"""Enough passes of the event loop for everything that does not wait for a timer."""


async def quiet(passes: int = PASSES) -> None:
    """Let the event loop run everything except timers and futures that the test holds."""
    for _ in range(passes):
        await asyncio.sleep(0)


def an_inbound(id: str = "e1", **changes: Any) -> InboundMessage:
    fields: dict[str, Any] = {
        "channel": "callback",
        "sender_id": "ada",
        "text": "hello",
        "input_channel": "callback",
        "output_channel": "callback",
    }
    return InboundMessage(id=id, **{**fields, **changes})


def a_reply(id: str = "e1:0", **changes: Any) -> Reply:
    fields: dict[str, Any] = {
        "channel": "callback",
        "recipient_id": "ada",
        "kind": "text",
        "in_reply_to": id.partition(":")[0],
    }
    if changes.get("kind", "text") == "text":
        fields["text"] = "hi"
    return Reply(id=id, **{**fields, **changes})


def a_request(body: Any, headers: Mapping[str, str] | None = None) -> Request:
    """Return a POST request. `body` is bytes, or a value that is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = "https://bot.example/webhooks/channel/webhook"
    return Request("POST", url, dict(headers or {}), {}, raw)


@dataclass(frozen=True)
class Published:
    exchange: str
    routing_key: str
    body: bytes
    properties: dict[str, Any]


class FakeCounters:
    """Stands in for `bridge.broker.counters.Counters`."""

    def __init__(self, publisher: FakePublisher) -> None:
        self._publisher = publisher

    async def up(self, name: str, expires: float) -> int:
        counts = await self._counts()
        counts[name] = counts.get(name, 0) + 1
        return counts[name] - 1

    async def down(self, name: str, expires: float) -> None:
        counts = await self._counts()
        if counts.get(name):
            counts[name] -= 1

    async def read(self, names: Sequence[str]) -> list[int]:
        counts = await self._counts()
        return [counts.get(name, 0) for name in names]

    async def reset(self, name: str) -> None:
        (await self._counts()).pop(name, None)

    async def _counts(self) -> dict[str, int]:
        if self._publisher.down is not None:
            raise self._publisher.down
        await asyncio.sleep(0)
        return self._publisher.counts


@dataclass
class FakePublisher:
    """Stands in for `bridge.broker.publisher.Publisher`. Messages in `published` are confirmed."""

    journal: Journal = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    errors: list[BridgeError] = field(default_factory=list)
    """Raised first, one per call."""
    down: BridgeError | None = None
    """Raised by every call until it is set to None again."""
    calls: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    separates_priorities = True
    confirm_timeout = 5.0
    name = "worker test"

    def __post_init__(self) -> None:
        self.ready.set()

    def begin(self, *how: Any) -> None:
        """Leave it to `publish`."""

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        may_repeat: bool = True,
        via: object = None,
        failed: object = None,
        **properties: Any,
    ) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        if self.down is not None:
            raise self.down
        self.published.append(Published(exchange, routing_key, body, properties))
        self.journal.append((f"published to {exchange}", properties["message_id"]))

    @property
    def sequence(self) -> object:
        return self

    @property
    def problem(self) -> str:
        return str(self.down or "")

    @property
    def counters(self) -> FakeCounters:
        return FakeCounters(self)

    counts: dict[str, int] = field(default_factory=dict)
    """The counters that the broker keeps."""

    def queues(self, topology: Topology | None = None) -> Queues:
        """Return a real `Queues` that uses this publisher."""
        return Queues(self, topology or Topology(channels=["callback"]))  # type: ignore[arg-type]


def a_delivery(
    message: Message | bytes, journal: Journal | None = None, **changes: Any
) -> Delivery:
    """Return a real `Delivery` whose ack is written to the journal."""
    raw = isinstance(message, bytes)
    name = getattr(message, "id", "?")

    async def ack() -> None:
        if journal is not None:
            journal.append(("acked", changes.get("message_id", name)))

    fields: dict[str, Any] = {
        "queue": "bridge.inbound.07",
        "body": message if isinstance(message, bytes) else encode(message),
        "kind": None if raw else TYPES[type(message)],
        "message_id": None if raw else name,
        "redelivered": False,
        "delivery_count": 0,
        "ack": ack,
    }
    return Delivery(**{**fields, **changes})


class Timers:
    """Replaces the running loop's `call_later`: no time passes, the test fires the timers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pending: list[_Timer] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)

    def _call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> _Timer:
        timer = _Timer(delay, callback, args)
        self._pending.append(timer)
        return timer

    @property
    def delays(self) -> list[float]:
        """Delays in seconds of the timers that are still pending."""
        return [timer.delay for timer in self._pending if not timer.is_cancelled]

    def fire(self) -> None:
        """Fire the only pending timer."""
        (timer,) = (timer for timer in self._pending if not timer.is_cancelled)
        self._pending.clear()
        timer.callback(*timer.args)


@dataclass
class _Timer:
    delay: float
    callback: Callable[..., Any]
    args: tuple[Any, ...]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True
