"""Every error the bridge raises. Foreign exceptions are translated where their library lives.

BridgeError
├── SettingsError              a settings file, flag or credential is wrong (exit code 2)
├── MessageError               a body on a queue cannot be decoded
├── Poison                     a message kills the process that runs it
├── BrokerError
│   ├── BrokerUnavailable      not connected, connection lost, or no confirm in time
│   │   └── NoVirtualHost      the broker is there, and has none of that name for this user
│   ├── PublishRefused         the broker refused the message: queue full
│   ├── Unroutable             no queue is bound for the message
│   └── TopologyError          a queue or exchange is missing or declared differently
├── RequestRejected            an incoming request is answered 4xx
├── TurnFailed                 a turn ended in the dead-letter queue, or its answer is late
└── DeliveryError
    ├── RetryableDeliveryError     the service may accept the same call later
    │   └── ServiceUnavailable     the service as a whole cannot be reached
    └── RejectedDeliveryError      the service will never accept this call
"""

from __future__ import annotations


class BridgeError(Exception):
    """Base of every error that the bridge raises.

    `problem` says what is wrong, `fix` what to do about it ("" if there is nothing to say);
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
    """A message body cannot be decoded."""


class Poison(BridgeError):
    """A message kills the process that runs it: `attempts` in a row never came to an end."""

    def __init__(self, attempts: int) -> None:
        super().__init__(f"{attempts} processes in a row died while they ran it")
        self.attempts = attempts


class BrokerError(BridgeError):
    """RabbitMQ did not take, or cannot take, a message."""


class BrokerUnavailable(BrokerError):
    """There is no connection, it was lost, or the confirm did not come in time."""


class NoVirtualHost(BrokerUnavailable):
    """The broker has no such virtual host, or this user may not use it; says what to do."""


class PublishRefused(BrokerError):
    """The broker answered nack: the queue is at its length limit."""


class Unroutable(BrokerError):
    """The broker returned the message: no queue is bound for its routing key."""


class TopologyError(BrokerError):
    """A queue or exchange is missing, or exists with other arguments."""


class RequestRejected(BridgeError):
    """An incoming request is refused.

    `status` is the HTTP status of the answer; the message tells the sender what to do.
    """

    def __init__(self, status: int, problem: str, *, fix: str = "") -> None:
        super().__init__(problem, fix=fix)
        self.status = status


class TurnFailed(BridgeError):
    """A turn whose replies an HTTP request waits for was dead-lettered, or is late.

    `status` is the HTTP status of the answer: 500 (dead-lettered) or 504 (late; the turn still
    completes).
    """

    def __init__(self, status: int, problem: str, *, fix: str = "") -> None:
        super().__init__(problem, fix=fix)
        self.status = status


class DeliveryError(BridgeError):
    """A reply was not accepted by its service."""


class RetryableDeliveryError(DeliveryError):
    """The same call may succeed later (timeout, 429, 5xx).

    `retry_after` is the number of seconds that the service asked to wait, or None.
    """

    def __init__(self, problem: str, retry_after: float | None = None, *, fix: str = "") -> None:
        super().__init__(problem, fix=fix)
        self.retry_after = retry_after


class ServiceUnavailable(RetryableDeliveryError):
    """The service as a whole cannot be reached (refused, DNS, connect timeout)."""


class RejectedDeliveryError(DeliveryError):
    """The service will never accept this call (4xx other than 408, 425 and 429)."""
