"""Hops that are in no record, one by one. `trace` has the functions."""

from __future__ import annotations

import time

from bridge.errors import BrokerError, DeliveryError, MessageTooLarge
from bridge.messages import InboundMessage, Reply
from bridge.telemetry.trace.hop import Hop, Kind, failed as is_failed
from bridge.telemetry.trace.recorder import process_hops


def note(
    kind: Kind,
    message: InboundMessage | Reply,
    *,
    at: float = 0.0,
    attempt: int = 0,
    seconds: float = 0.0,
    what: str = "",
    status: int = 0,
    provider_id: str = "",
) -> None:
    """Record a hop of a message, which happens now or at `at`; the others are fields of `Hop`."""
    if not process_hops.is_on:
        return
    if type(message) is InboundMessage:
        conversation, id, reply = message.sender_id, message.id, ""
    else:
        assert isinstance(message, Reply)
        conversation, id, reply = message.recipient_id, message.in_reply_to, message.id
    process_hops.add(
        Hop(
            kind,
            at or time.time(),
            message.channel,
            conversation,
            id,
            reply,
            attempt,
            seconds,
            what,
            status,
            provider_id,
        )
    )


def failed(
    message: InboundMessage | Reply, number: int, began: float, error: BaseException
) -> None:
    """Record that an attempt, which began at that time (see `trace.begin`), ends with an error."""
    is_failure = is_failed(error) and not isinstance(error, BrokerError)
    now = time.time()
    note(
        "failed" if is_failure or isinstance(error, MessageTooLarge) else "held",
        message,
        at=now,
        attempt=number,
        seconds=now - began if began else 0.0,
        what=type(error).__name__,
        status=error.status if isinstance(error, DeliveryError) else 0,
    )
