"""Where a webhook puts receipts: published and confirmed before the service is answered."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.broker.receipts import ReceiptQueue
from bridge.messages.receipts import Receipt, encode_item

LINGER = 0.01
"""Seconds for which receipts wait for others: no user waits for the answer, and a publish
costs as much CPU time as a request."""


class QueueReceipts:
    """The receipt queue of a channel; implements `connectors.interfaces.ReceiptSink`.

    Requests that arrive at the same time share a publish.
    """

    def __init__(self, queue: ReceiptQueue, linger: float = LINGER) -> None:
        self._batches = queue.batches("receipts", linger)

    async def put(self, receipts: Sequence[Receipt]) -> None:
        await self._batches.put([encode_item(receipt) for receipt in receipts])
