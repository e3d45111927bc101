"""Why a message was dead-lettered, as AMQP headers carry it. No I/O.

`bridge.broker.queues` publishes dead letters, `bridge.dead_letters` finds and replays them.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from bridge.errors import BridgeError, DeliveryError, MessageError
from bridge.messages.delivery import Delivery
from bridge.messages.flow import Flow
from bridge.messages.wire import MESSAGE_OF, InboundMessage, Reply, decode

MOST_HEADER = 2000
"""Characters kept of a text: all headers together must fit into one AMQP frame (128 KiB)."""


@dataclass(frozen=True)
class DeadLetter:
    """Why a message was dead-lettered. Times are Unix seconds, 0 if unknown."""

    flow: Flow
    reason: str
    """`undecodable`, `failed` (all retries failed), `rejected` (can never succeed), `unroutable`,
    `poison` (it kills the process that runs it), or RabbitMQ's own reason, such as
    `delivery_limit`."""
    error: str
    """Class and message of the last error, `Class: message`."""
    attempts: int
    """0 if unknown."""
    first_at: float
    """Time of the first attempt."""
    last_at: float
    """Time at which the message was dead-lettered."""
    queue: str
    """The queue it was on."""
    id: str = ""
    channel: str = ""
    conversation: str = ""
    status: int = 0
    """The HTTP status with which the service refused the reply; 0 if there is none."""
    group: str = ""
    """The id of the turn that failed, if it had several messages: that of the last one."""

    @property
    def error_class(self) -> str:
        return self.error.partition(":")[0]

    @property
    def cause(self) -> str:
        """The HTTP status as `HTTP 403`; without one, the class of the error."""
        return f"HTTP {self.status}" if self.status else self.error_class

    def headers(self) -> dict[str, Any]:
        """Return the AMQP headers: each field under `x-bridge-<field>`, long texts cut.

        There is none for the HTTP status of an error without one.
        """
        return {
            _header(name): value[:MOST_HEADER] if isinstance(value, str) else value
            for name, value in vars(self).items()
            if name not in ("status", "group") or value
        }

    @classmethod
    def of(
        cls,
        message: InboundMessage | Reply | None,
        error: Exception,
        *,
        flow: Flow,
        reason: str,
        queue: str = "",
        attempts: int = 1,
        first_at: float | None = None,
        id: str = "",
        group: str = "",
    ) -> DeadLetter:
        """Return the dead letter of a message, or of an undecodable body with that AMQP `id`."""
        now = time.time()
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
            conversation=message.conversation if message else "",
            status=_status(error),
            group=group,
        )

    @classmethod
    def read(cls, delivery: Delivery, flow: Flow) -> DeadLetter:
        """Return what the headers of a dead-lettered message say, ours or RabbitMQ's."""
        if _header("reason") not in delivery.headers:
            return cls._by_broker(delivery, flow)

        def header(name: str) -> Any:
            return delivery.headers.get(_header(name))

        return cls(
            flow=flow,
            reason=_text(header("reason")),
            error=_text(header("error")),
            attempts=int(_number(header("attempts"))),
            first_at=_number(header("first_at")),
            last_at=_number(header("last_at")),
            queue=_text(header("queue")),
            id=_text(header("id")),
            channel=_text(header("channel")),
            conversation=_text(header("conversation")),
            status=int(_number(header("status"))),
            group=_text(header("group")),
        )

    @classmethod
    def _by_broker(cls, delivery: Delivery, flow: Flow) -> DeadLetter:
        """Past the delivery limit only RabbitMQ's headers exist
        (https://www.rabbitmq.com/docs/dlx#effects); they do not tell the number of attempts."""
        death = _latest_death(delivery.headers)
        reason = _text(death.get("reason")) or "unknown"
        at = _time(death.get("time"))
        try:
            message = decode(delivery.body, MESSAGE_OF[flow])
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
        return replace(letter, last_at=at, error=f"{error}: dead-lettered by RabbitMQ")


def _status(error: BaseException | None) -> int:
    """Return the HTTP status of the latest error that has one: another may have replaced it."""
    while error is not None:
        if isinstance(error, DeliveryError) and error.status:
            return error.status
        error = error.__cause__
    return 0


def _header(name: str) -> str:
    return f"x-bridge-{name.replace('_', '-')}"


def _text(value: Any) -> str:
    """Return the text of a header; a value that is not UTF-8 arrives as bytes."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _number(value: Any) -> float:
    """Return the number of a header, which may be a text (`ConfirmChannel.publish`)."""
    try:
        number = float(_text(value))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _time(value: Any) -> float:
    """Return the Unix seconds of an AMQP timestamp; without a zone it is UTC (pamqp 3)."""
    if not isinstance(value, datetime):
        return 0.0
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()


def _latest_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, Mapping) else {}


def cause_of(error: Exception) -> str:
    """Return the cause of an error, as `DeadLetter.cause` does: its HTTP status or class.

    With what the system or SQLite says of it: `OSError: No space left on device`. These texts quote
    no user and no secret.
    """
    status = _status(error)
    if status:
        return f"HTTP {status}"
    said = _system_text(getattr(error, "orig", error))  # SQLAlchemy wraps what a driver raises
    return f"{type(error).__name__}{said and f': {said}'}"


def _system_text(error: object) -> str:
    source = type(error).__module__
    if source == "builtins" and isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # not its own text, which may be of a library
    return str(error) if source == "sqlite3" else ""
