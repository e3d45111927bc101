"""The arithmetic that spreads conversations over partitions, and partitions over processes."""

from __future__ import annotations

import hashlib
from zlib import crc32

MOST_PARTITIONS = 128
"""Partitions of a flow. The three queues of each must fit a page of 500 of RabbitMQ's management
API, which autoscalers read, and more were not measured (docs/performance.md)."""


def partition_of(conversation: str, partitions: int) -> int:
    """Return a conversation's partition: crc32 of its UTF-8 bytes, computable in any language."""
    return crc32(conversation.encode("utf-8", "surrogatepass")) % partitions


def consumer_priority(worker_id: str, queue: str) -> int:
    """Return the consumer argument `x-priority`: rendezvous hashing, carried out by the broker.

    RabbitMQ ≥ 4.0 activates the consumer with the highest priority, so every worker that joins
    takes over a fair share. crc32 is unsuitable: it is linear, so the rankings of two workers would
    be correlated from partition to partition.
    """
    digest = hashlib.blake2b(f"{worker_id}|{queue}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 32000
