"""Every error that the bridge raises. Foreign exceptions are translated where their library lives.

BridgeError
├── SettingsError              a settings file, flag or credential is wrong (exit code 2)
├── MessageError               a message body cannot be encoded or decoded
├── Poison                     a message kills or blocks the process that runs it
├── DeadlineExceeded           work was cancelled because its time was over
├── BrokerError
│   ├── BrokerUnavailable      not connected, connection lost, or no confirm in time
│   │   ├── LoginRefused       the broker refused user or password
│   │   └── NoVirtualHost      the broker has no such virtual host for this user
│   ├── PublishRefused         the broker refused the message: its queue is full
│   ├── MessageTooLarge        the message exceeds the broker's limit
│   ├── Unroutable             no queue is bound for the message
│   └── TopologyError          a queue or exchange is missing or declared differently
│       ├── NotDeclared        a queue or exchange does not exist
│       ├── PartitionsDiffer   the broker has other numbers of partitions, or they change now
│       └── AccessRefused      the broker user lacks a permission
├── RequestRejected            an incoming request is answered with a 4xx status
├── TurnFailed                 a turn was dead-lettered, or its answer is late
├── NoWorker                   a message waits, because no worker consumes its queue
├── NoAgent                    a channel's code uses Rasa's agent, which a webhook does not have
└── DeliveryError
    ├── RetryableDeliveryError     the service may accept the same call later
    │   └── ServiceUnavailable     the service cannot be reached at all
    ├── RecipientAway              the recipient cannot be reached now; the reply waits for it
    ├── WaitTooLong                the service asks to wait longer than the bridge does
    ├── Undelivered                the service accepted the call and did not deliver it
    └── RejectedDeliveryError      the service will never accept this call
"""

from __future__ import annotations

import math
from typing import Literal

Scope = Literal["recipient", "channel"]
"""Whom a service asks to wait: the calls to one recipient, or all calls of the channel."""


class BridgeError(Exception):
    """Base of every error that the bridge raises.

    `problem` says what is wrong, `fix` what to do about it ("" if there is nothing to add);
    `str()` gives both on one line.
    """

    def __init__(self, problem: str = "", *, fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}" if self.fix else self.problem


class SettingsError(BridgeError):
    """A settings file, flag or credential is wrong; the message names file, key and fix."""


class MessageError(BridgeError):
    """A message body cannot be encoded as JSON, or a body on a queue cannot be decoded."""


class Poison(BridgeError):
    """A message kills or blocks the process that runs it: `attempts` in a row did so."""

    def __init__(self, attempts: int) -> None:
        super().__init__(f"{attempts} attempts in a row killed or blocked their process")
        self.attempts = attempts


class DeadlineExceeded(BridgeError):
    """Work was cancelled because it did not end within `seconds` (None: not known any more)."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(f"not finished {f'within {seconds:g} s' if seconds else 'in time'}")
        self.seconds = seconds


class MonitorUnavailable(BridgeError):
    """A monitor does not answer, or refuses the token."""


class BrokerError(BridgeError):
    """RabbitMQ did not accept a message, or cannot be used."""


class BrokerUnavailable(BrokerError):
    """There is no connection, it was lost or blocked, or the confirm did not arrive in time."""

    unconfirmed = False
    """True if the message was sent: the broker may have it, although it did not confirm."""


class LoginRefused(BrokerUnavailable):
    """The broker refused the user or the password of `bridge.url`."""


class NoVirtualHost(BrokerUnavailable):
    """The broker has no such virtual host, or the user may not access it."""


class PublishRefused(BrokerError):
    """The broker answered with a nack: the queue has reached its length limit."""


class MessageTooLarge(BrokerError):
    """The message exceeds `max_message_size` of the broker, or AMQP's limit of a name or header.

    It will never be accepted.
    """


class Unroutable(BrokerError):
    """The broker returned the message: no queue is bound for its routing key."""


class TopologyError(BrokerError):
    """A queue or exchange is missing, or exists with other arguments."""


class NotDeclared(TopologyError):
    """A queue or exchange does not exist (AMQP 404, NOT_FOUND)."""


class PartitionsDiffer(TopologyError):
    """The broker has other numbers of partitions than the settings, or they are being changed."""


class AccessRefused(TopologyError):
    """The broker user lacks a permission (AMQP 403, ACCESS_REFUSED)."""


class RequestRejected(BridgeError):
    """An incoming request is refused.

    `status` is the HTTP status of the answer, `headers` are further headers of it; the message
    tells the sender what to do.
    """

    def __init__(self, status: int, problem: str, *, fix: str = "") -> None:
        super().__init__(problem, fix=fix)
        self.status = status
        self.headers: dict[str, str] = {}


class TurnFailed(BridgeError):
    """A turn whose replies an HTTP request waits for was dead-lettered, or is late.

    `status` is the HTTP status of the answer: 500 (dead-lettered) or 504 (late; the turn still
    completes).
    """

    def __init__(self, status: int, problem: str, *, fix: str = "") -> None:
        super().__init__(problem, fix=fix)
        self.status = status


class NoWorker(BridgeError):
    """A message is on its `queue`, and no worker consumes it."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"no worker consumes {queue}: the message waits there",
            fix="start one: rasa-bridge worker, or rasa-bridge up",
        )
        self.queue = queue


class DeliveryError(BridgeError):
    """A service did not accept a reply."""

    status: int = 0
    """The HTTP status with which the service refused the call; 0 if it did not answer with one."""
    code: str | None = None
    """The service's error code, if it named one and that matters."""


class RetryableDeliveryError(DeliveryError):
    """The same call may succeed later (timeout, 429, 5xx).

    `retry_after` is the number of seconds that the service asked to wait, or None. It is None, too,
    if it was given as anything but a finite number; a negative one is 0. `scope` tells whom the
    service asked: with "channel", no call of the channel is made in this time.
    """

    def __init__(
        self,
        problem: str,
        retry_after: float | None = None,
        *,
        scope: Scope = "recipient",
        fix: str = "",
    ) -> None:
        super().__init__(problem, fix=fix)
        self.retry_after = finite(retry_after)
        self.scope: Scope = scope


class ServiceUnavailable(RetryableDeliveryError):
    """The service cannot be reached at all (connection refused, DNS error, connect timeout)."""


class RecipientAway(DeliveryError):
    """The recipient holds no connection now: try again in `retry_after` seconds.

    It is no failure, so it is not counted; the connector decides when to give up.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("the recipient is away")
        self.retry_after = retry_after


class WaitTooLong(DeliveryError):
    """The service asks to wait `retry_after` seconds, which is longer than the bridge does."""

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class Undelivered(DeliveryError):
    """The service accepted the call, and reported later that it did not deliver the message.

    `code` is its error code, if it gave one.
    """

    def __init__(self, code: str | None) -> None:
        super().__init__(f"not delivered, error {code}" if code else "not delivered")
        self.code = code


class RejectedDeliveryError(DeliveryError):
    """The service will never accept this call (a 4xx other than 408, 425 and 429).

    `code` is the service's error code, if it gave one.
    """

    def __init__(self, problem: str = "", *, fix: str = "", code: object = None) -> None:
        super().__init__(problem, fix=fix)
        self.code = None if code is None else str(code)


def finite(seconds: object) -> float | None:
    """Return seconds that a service named, at least 0; None for anything but a finite number."""
    if not isinstance(seconds, (int, float)):
        return None
    try:
        number = float(seconds)
    except OverflowError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


class NoAgent(BridgeError):
    """The code of a wrapped channel uses `app.ctx.agent`, which a webhook process does not have."""

    def __init__(self, attribute: str) -> None:
        super().__init__(
            f"app.ctx.agent.{attribute}: a webhook process has no agent",
            fix="await on_new_message(), which returns collected replies; or call the HTTP API; or"
            " keep rasa run, with bridge.QueueInput",
        )
        self.attribute = attribute
