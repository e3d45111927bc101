"""How the attempts at a message end, or go on. No AMQP."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import ClassVar, TypeVar

import msgspec

from bridge.errors import BridgeError, ServiceUnavailable
from bridge.messages import DeadLetter, Delivery, Flow, InboundMessage, Reply
from bridge.telemetry.logs import described, frames

log = logging.getLogger(__name__)

M = TypeVar("M", bound=InboundMessage | Reply)


class Drained(Exception):
    """Draining began: the message stays unsettled and will be redelivered."""


class Left(Drained):
    """The messages of a lane were left to another process."""


class Requeued(Drained):
    """A message returned to its queue, and will come back to its lane."""


Ended = tuple["Failure | None", Delivery, bool]
"""The end of the attempts at one message: the failure (None: it was handled), the message to settle
(it may have been delivered again meanwhile), and whether a newer one of the lane runs instead."""


class Unfinished(Exception):
    """The message goes on after a wait for its lane's pace. What it did until then succeeded."""

    is_failure: ClassVar = False


class Interrupted(Exception):
    """A new message joins the turn, which starts again. What it did until then does not count."""

    is_failure: ClassVar = False


class Superseded(Exception):
    """A newer message of the lane runs instead of this one."""


_NONE = BridgeError()


class Failure(msgspec.Struct, eq=False):
    """What is known about the failed attempts at one message."""

    error: Exception = _NONE
    reason: str = "failed"
    attempts: int = 1
    exceeded: int = 0
    """Attempts that exceeded their deadline,"""
    counting: asyncio.Future[int] | None = None
    """and the count of the latest one, while the broker is told."""
    held: int = 0
    """Attempts in a row that the broker's trouble ended; they do not count."""
    first_at: float = 0.0
    """Unix time of the first attempt."""
    started: float = 0.0
    """The moment on the monotonic clock from which the age counts."""
    obeyed: float = 0.0
    """Seconds waited since then because the service asked for it (Retry-After),"""
    asked: int = 0
    """and the number of attempts after which it did."""
    quiet: float = 0.0
    """Seconds for which its turn waited until the conversation was quiet."""
    is_convicted: bool = False
    """Its count was too high when it was looked at first."""
    known: frozenset[str] = frozenset()
    """Ids of messages of the turn that a saved turn had before."""
    is_first: bool = True
    """True until the first attempt starts (uncounted attempts included)."""

    def of(self, id: str) -> Failure | None:
        """Return the failure of one message of the turn; None if it was handled before."""
        return None if id in self.known else self

    def may_be_outage(self, accepted_at: float) -> bool:
        """Whether the service may be down: it cannot be reached, and accepted nothing meanwhile.

        If it is, the gate closes in time.
        """
        return isinstance(self.error, ServiceUnavailable) and accepted_at < self.started

    def log(self, delay: float | None) -> None:
        """Log a failed attempt, and the seconds until the next one (None: there is none)."""
        log.log(
            logging.WARNING if delay is not None else logging.ERROR,
            "attempt failed (%s)%s",
            described(self.error),
            f"; next attempt in {delay:.1f} s" if delay is not None else frames(self.error),
        )

    def begin(self, now: float) -> bool:
        """Note that an attempt starts, at a Unix time; return whether it is the first one.

        The age counts from here: the time before it was spent waiting, not failing.
        """
        if not self.started:
            self.first_at, self.started = now, time.monotonic()
        was_first, self.is_first = self.is_first, False
        return was_first


def dead_letter(
    flow: Flow, delivery: Delivery, message: M | None, failure: Failure, turn: str
) -> DeadLetter:
    """Return the dead letter of a message, or of an undecodable one.

    `turn` is the id of the turn that failed, if it had several messages.
    """
    return DeadLetter.of(
        message,
        failure.error,
        flow=flow,
        reason=failure.reason,
        queue=delivery.queue,
        attempts=failure.attempts if message else 0,
        first_at=failure.first_at or None,
        id=delivery.message_id or "",
        group=turn,
    )
