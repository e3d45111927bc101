"""Dead letters: messages that were set aside, why, and which ones are meant. No I/O.

Publishing one is `queues.py`'s part, reading their queues `dead_letter_queue.py`'s.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any

from bridge.errors import BridgeError, MessageError
from bridge.messages import Delivery, InboundMessage, Reply, decode

KINDS: Mapping[str, type[InboundMessage] | type[Reply]] = {
    "inbound": InboundMessage,
    "replies": Reply,
}
"""Flow → what its messages are."""


@dataclass(frozen=True)
class DeadLetter:
    """Why a message was set aside. Times are Unix seconds, 0 where nothing tells them."""

    flow: str
    """`inbound` or `replies`."""
    reason: str
    """`undecodable`, `failed` (retries used up), `rejected` (can never succeed), `unroutable`,
    `poison` (never settled), or RabbitMQ's word if it did it, such as `delivery_limit`."""
    error: str
    """Class and message of the last error."""
    attempts: int
    first_at: float
    last_at: float
    queue: str
    id: str = ""
    channel: str = ""
    conversation: str = ""

    @property
    def error_class(self) -> str:
        return self.error.partition(":")[0]

    def headers(self) -> dict[str, Any]:
        """AMQP headers, `x-bridge-` in front of each name.

        Texts are cut: all headers together must fit into one frame (128 KiB).
        """
        return {
            _header(name): value[:2000] if isinstance(value, str) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def of(
        cls,
        message: InboundMessage | Reply | None,
        error: Exception,
        *,
        flow: str,
        reason: str,
        queue: str = "",
        attempts: int = 1,
        first_at: float | None = None,
        id: str = "",
    ) -> DeadLetter:
        """Return the dead letter of a message, or, with its `id`, of a body that has none."""
        now = time.time()
        conversation = message.recipient_id if isinstance(message, Reply) else ""
        if isinstance(message, InboundMessage):
            conversation = message.sender_id
        return cls(
            flow=flow,
            reason=reason,
            error=f"{type(error).__name__}: {error}",
            attempts=attempts,
            first_at=first_at if first_at is not None else now,
            last_at=now,
            queue=queue,
            id=message.id if message else id,
            channel=message.channel if message else "",
            conversation=conversation,
        )

    @classmethod
    def read(cls, delivery: Delivery, flow: str) -> DeadLetter:
        """Return what a message of a dead-letter queue says of itself, whoever set it aside."""
        if _header("reason") not in delivery.headers:
            return cls._set_aside_by_broker(delivery, flow)
        found: dict[str, Any] = {
            field.name: _READERS[str(field.type)](delivery.headers.get(_header(field.name)))
            for field in fields(cls)
        }
        return cls(**{**found, "flow": flow})

    @classmethod
    def _set_aside_by_broker(cls, delivery: Delivery, flow: str) -> DeadLetter:
        """Past the delivery limit there are only RabbitMQ's headers
        (https://www.rabbitmq.com/docs/dlx#effects) and the body. How often it was tried is not
        known."""
        death = _latest_death(delivery.headers)
        reason = _text(death.get("reason")) or "unknown"
        at = _time(death.get("time"))
        try:
            message = decode(delivery.body, KINDS[flow])
        except MessageError:
            message = None
        letter = cls.of(
            message,
            BridgeError(),
            flow=flow,
            reason=reason,
            queue=_text(death.get("queue")),
            attempts=0,
            first_at=at,
            id=delivery.message_id or "",
        )
        error = "".join(word.title() for word in reason.split("_"))
        return replace(letter, last_at=at, error=f"{error}: set aside by RabbitMQ")


@dataclass(frozen=True)
class Filter:
    """Which dead letters are meant; None matches all."""

    flow: str | None = None
    channel: str | None = None
    conversation: str | None = None
    error: str | None = None
    """Part of the error's class or of the reason, in any case."""
    id: str | None = None
    before: float | None = None
    """Last set aside before this Unix time; never true of one whose time is not known."""
    after: float | None = None

    @property
    def flows(self) -> tuple[str, ...]:
        return (self.flow,) if self.flow else tuple(KINDS)

    @property
    def takes_all(self) -> bool:
        """Every dead letter of `flows` matches."""
        return replace(self, flow=None) == Filter()

    def matches(self, letter: DeadLetter) -> bool:
        return (
            self.flow in (None, letter.flow)
            and self.channel in (None, letter.channel)
            and self.conversation in (None, letter.conversation)
            and self.id in (None, letter.id)
            and (self.error is None or _mentions(letter, self.error))
            and (self.before is None or 0 < letter.last_at < self.before)
            and (self.after is None or letter.last_at > self.after)
        )


def _mentions(letter: DeadLetter, text: str) -> bool:
    return any(text.lower() in name.lower() for name in (letter.error_class, letter.reason))


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_age(text: str) -> float:
    """Return the seconds of an age such as `90s`, `10m`, `1h30m` or `2d`.

    Raises:
        ValueError: it is no age.
    """
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text, re.ASCII):
        raise ValueError(f"{text!r} is no age: write it as 90s, 10m, 2h or 1d")
    parts = re.findall(r"([\d.]+)([smhd])", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def age(seconds: float) -> str:
    """Return an age in its largest unit, such as `10m`."""
    unit = next((u for u in "dhm" if seconds >= _UNITS[u]), "s")
    return f"{max(seconds, 0) // _UNITS[unit]:.0f}{unit}"


def _header(name: str) -> str:
    return f"x-bridge-{name.replace('_', '-')}"


def _text(value: Any) -> str:
    """A header's text; a value that is not UTF-8 comes as bytes."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _number(value: Any) -> float:
    """A header's number, which may be a text (`ConfirmChannel.publish`)."""
    try:
        number = float(_text(value))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _time(value: Any) -> float:
    """Unix seconds of an AMQP timestamp; without a zone it is UTC (pamqp 3)."""
    if not isinstance(value, datetime):
        return 0.0
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()


def _latest_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, Mapping) else {}


_READERS = {"str": _text, "int": lambda value: int(_number(value)), "float": _number}
"""Type of a field of `DeadLetter` → how its header is read."""
