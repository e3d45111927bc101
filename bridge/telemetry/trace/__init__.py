"""The hops of a message, as the code reports them: one line where something happens.

Each function returns at once, and does nothing unless hops are recorded (`recorder`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from bridge.errors import BrokerError, DeliveryError, MessageTooLarge
from bridge.messages import DeadLetter, InboundMessage, Reply
from bridge.telemetry.calls import answering
from bridge.telemetry.trace.hop import Hop, Kind
from bridge.telemetry.trace.recorder import process_hops

_NOTHING = nullcontext()


def note(
    kind: Kind, message: InboundMessage | Reply, *, at: float | None = None, **facts: Any
) -> None:
    """Record a hop of a message, which happens now or at `at`; `facts` are fields of `Hop`."""
    if not process_hops.is_on:
        return
    if isinstance(message, Reply):
        ids = message.recipient_id, message.in_reply_to, message.id
    else:
        ids = message.sender_id, message.id, ""
    process_hops.add(Hop(kind, at or time.time(), message.channel, *ids, **facts))


def enqueuing(message: InboundMessage) -> AbstractContextManager[None]:
    """Record that a message was accepted, and how the block, which enqueues it, ends."""
    return _enqueuing(message) if process_hops.is_on else _NOTHING


def attempt(message: InboundMessage | Reply, number: int) -> AbstractContextManager[None]:
    """Record an attempt, and its end if the block, which makes it, raises."""
    return _attempt(message, number) if process_hops.is_on else _NOTHING


def call(sent: Reply) -> AbstractContextManager[None]:
    """Record one call to a service, which the block makes."""
    return _call(sent) if process_hops.is_on else _NOTHING


@contextmanager
def _enqueuing(message: InboundMessage) -> Iterator[None]:
    note("accepted", message, at=message.received_at)
    try:
        yield
    except Exception as error:
        note("refused", message, what=type(error).__name__)
        raise
    note("confirmed", message)


@contextmanager
def _attempt(message: InboundMessage | Reply, number: int) -> Iterator[None]:
    started = time.time()
    note("attempt", message, at=started, attempt=number)
    try:
        yield
    except BaseException as error:
        is_failure = isinstance(error, Exception) and not isinstance(error, BrokerError)
        note(
            "failed" if is_failure or isinstance(error, MessageTooLarge) else "held",
            message,
            what=type(error).__name__,
            attempt=number,
            seconds=time.time() - started,
            status=error.status if isinstance(error, DeliveryError) else 0,
        )
        raise


@contextmanager
def _call(sent: Reply) -> Iterator[None]:
    started = time.time()
    what = ""
    with answering() as answer:
        try:
            yield
        except BaseException as error:
            what = type(error).__name__
            raise
        finally:
            note(
                "call",
                sent,
                seconds=time.time() - started,
                what=what,
                status=answer.status,
                provider_id=answer.provider_id,
            )


def reply(sent: Reply) -> None:
    """Record that a reply is confirmed on its queue, or on that of the request that waits."""
    note("reply", sent, what=f"{sent.kind} for a request" if sent.ticket else sent.kind)


def dead(message: InboundMessage | Reply | None, letter: DeadLetter) -> None:
    """Record that a message was dead-lettered. An undecodable one (None) has no hops."""
    if message is not None:
        what = f"{letter.reason}, {letter.error_class}"
        note("dead", message, what=what, attempt=letter.attempts, status=letter.status)
