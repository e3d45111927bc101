"""Hops in tests: those of this process, and batches of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from bridge.messages import InboundMessage, Reply
from bridge.telemetry import trace
from bridge.telemetry.trace.batch import decode, encode
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.recorder import Recorder, process_hops


def hops_in(recorder: Recorder = process_hops) -> list[Hop]:
    """Return the hops that wait for the next write, also those in records, in order of time."""
    recorder.close_records()
    batch = decode(encode("p", recorder.waiting))
    return sorted(batch.all_hops(), key=lambda hop: hop.at)


@contextmanager
def enqueued(message: InboundMessage) -> Iterator[None]:
    """Record that a message is enqueued, as the block does."""
    accepted = trace.accepted(message)
    try:
        yield
    except Exception as error:
        trace.refused(message, accepted, error)
        raise
    trace.confirmed(message, accepted, time.time())


@contextmanager
def attempted(message: InboundMessage | Reply, number: int) -> Iterator[None]:
    """Record an attempt, which the block makes."""
    began = trace.begin(message, number)
    try:
        yield
    except BaseException as error:
        trace.failed(message, number, began, error)
        raise


def earlier_batch(process: str, hops: Iterable[Hop]) -> bytes:
    """Return a batch as a process of an earlier version writes it."""
    return msgspec.json.encode({"process": process, "hops": list(hops), "dropped": 0})
