"""Whether, and when, a message that has failed is tried again. No AMQP."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from bridge.errors import (
    DeadlineExceeded,
    MessageError,
    MessageTooLarge,
    RejectedDeliveryError,
    RetryableDeliveryError,
)
from bridge.processing.outcomes import Failure
from bridge.processing.quarantine import CONVICTED_AFTER
from bridge.runtime.retry import LONGEST_WAIT, backoff, too_long

if TYPE_CHECKING:
    from bridge.processing.processor import Processor


def verdict(
    processor: Processor[Any], failure: Failure, lane: Hashable
) -> tuple[str, float | None]:
    """Return the reason, and the seconds until the next attempt (None: there is none)."""
    error = failure.error
    policy = processor.policy
    if isinstance(error, (RejectedDeliveryError, MessageError, MessageTooLarge)):
        return "rejected", None
    if isinstance(error, DeadlineExceeded):
        last = failure.exceeded >= CONVICTED_AFTER
        failure.started = time.monotonic()  # these attempts have a limit of their number
        return "timed out", None if last else backoff(failure.exceeded, policy.base, policy.cap)
    retry_after = error.retry_after if isinstance(error, RetryableDeliveryError) else None
    if retry_after is not None and failure.obeyed + retry_after > LONGEST_WAIT:
        failure.error = too_long(error, retry_after, failure.obeyed)
        return "failed", None
    age = time.monotonic() - failure.started - failure.obeyed
    # A service that answers says when; one that may be down is not paid for by the lane.
    if retry_after is None and not failure.may_be_outage(processor.gate.accepted_at):
        age += processor.budgets.spent(lane)
    delay = policy.delay(failure.attempts, age, retry_after, asked=failure.asked)
    if delay is None:
        processor.budgets.exhaust(lane)
    elif retry_after is not None:
        failure.obeyed += retry_after
        failure.asked += 1
    return "failed", delay
