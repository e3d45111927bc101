"""Remembers accepted calls, and works on the receipts of one channel; see `join`.

Notes and receipts travel through one queue with one active consumer. It holds the deliveries whose
calls have no final receipt unacked: if it dies, the next consumer receives all of them again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from itertools import islice

from msgspec.structs import replace

from bridge.broker.batches import MOST, Batches, TooMany
from bridge.broker.receipts import ReceiptLink, ReceiptQueue
from bridge.connectors.registry import Channel
from bridge.delivery.join import Held, Join, Joined
from bridge.delivery.outcomes import Outcomes
from bridge.errors import BrokerError, MessageError, MessageTooLarge
from bridge.messages import Delivery, Reply
from bridge.messages.receipts import Note, Receipt, decode_batch, encode_item
from bridge.node import Node
from bridge.telemetry import metrics

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two looks at what is overdue."""
ROUND = 500
"""Items to work on before their effects are published."""
AT_ONCE = MOST
"""Items in one pass of the event loop: replies must not wait for receipts."""
MOST_HELD = 1000
"""Deliveries to hold; with more, the oldest half is written to the queue again, in full batches."""
OLDEST_HELD = 600.0
"""Seconds to hold a delivery: a quorum queue keeps its log from the oldest one on."""


class Notes:
    """Writes a note for each call that the service has accepted."""

    def __init__(self, batches: Batches, channel: str, outcomes: Outcomes) -> None:
        self._batches = batches
        self._channel = channel
        self._outcomes = outcomes

    async def replaced(self, reply: Reply, part: Reply, code: str | None) -> bool:
        """Return whether a template is sent instead of a part that the service refused at once."""
        part = replace(part, recipient_id=reply.recipient_id)
        return await self._outcomes.replaced(part, code)

    async def put(self, reply: Reply, part: Reply, ids: Sequence[str], sent_at: float) -> None:
        """Return once the notes of a part of a reply are confirmed, or cannot be now.

        They are then published later; the reply must not wait for its receipts. `sent_at` is the
        Unix time at which the call began.
        """
        # As the dead letter of a late failure, the part needs its lane.
        part = replace(part, recipient_id=reply.recipient_id)
        notes = [
            Note(id, reply.recipient_id, reply.id, reply.in_reply_to, sent_at, part) for id in ids
        ]
        try:
            await self._batches.put([encode_item(note) for note in notes])
        except (MessageError, MessageTooLarge, TooMany) as error:
            metrics.notes_lost.labels(self._channel).inc(len(notes))
            log.warning("its receipts will be unknown: %s", error)
        except BrokerError as error:
            log.warning("its note for receipts is not written yet: %s", error)


class Receipts:
    """The receipts of one channel, in a `deliver` process."""

    def __init__(self, node: Node, channel: Channel) -> None:
        """Consume the channel's receipt queue; `channel.receipts` is not None."""
        assert channel.receipts is not None
        self._options = channel.receipts
        self._watermarks = channel.connector.watermarks
        self._channel = channel.name
        self._queue = ReceiptQueue(node.publisher, node.topology, channel.name)
        self._outcomes = Outcomes(channel.connector, channel.receipts, self._queue, node.queues)
        self.notes = Notes(self._queue.batches("notes"), channel.name, self._outcomes)
        node.add(ReceiptLink(node.url, node.name, node.topology, channel.name, self._begin))

    def _begin(self, arrived: asyncio.Queue[Delivery]) -> asyncio.Future[None]:
        join = Join(self._options.keep, watermarks=self._watermarks)
        work = ReceiptWork(self._channel, join, self._outcomes, self._queue)
        return asyncio.ensure_future(work.run(arrived))


class ReceiptWork:
    """The work on the deliveries of one connection."""

    def __init__(self, channel: str, join: Join, outcomes: Outcomes, queue: ReceiptQueue) -> None:
        self._awaited = metrics.receipts_awaited.labels(channel)
        self._unreported = metrics.reply_outcomes.labels(channel, "unreported")
        self._join = join
        self._outcomes = outcomes
        self._notes = queue.batches("notes")
        self._receipts = queue.batches("receipts")
        self._held: dict[Held, None] = {}
        """In the order of their arrival."""

    async def run(self, arrived: asyncio.Queue[Delivery]) -> None:
        """Work until cancelled."""
        while True:
            joined, free = await self._round(arrived)
            await self._outcomes.follow(joined)
            for each in joined:
                free += each.settles
            await self._settle(free)
            await self._write_again()
            self._awaited.set(len(self._join))

    async def _round(self, arrived: asyncio.Queue[Delivery]) -> tuple[list[Joined], list[Held]]:
        """Take what has arrived; return what is joined, and what need not be held."""
        joined: list[Joined] = []
        free: list[Held] = []
        items = 0
        delivery = await _first(arrived)
        while delivery is not None:
            items += self._take(delivery, joined, free)
            await asyncio.sleep(0)
            is_over = items >= ROUND or arrived.empty()
            delivery = None if is_over else arrived.get_nowait()
        self._sort(self._join.overdue(time.monotonic(), time.time()), joined, free)
        return joined, free

    def _take(self, delivery: Delivery, joined: list[Joined], free: list[Held]) -> int:
        held = Held(delivery, time.monotonic())
        held.open = 1  # until everything in it was looked at
        self._held[held] = None
        free.append(held)
        try:
            batch = decode_batch(delivery.body)
        except MessageError as error:
            log.error("dropped receipts: %s", error)
            return 1
        for note in batch.notes:
            self._sort(self._join.note(note, held), joined, free)
        for receipt in batch.receipts:
            self._sort(self._join.receipt(receipt, held, held.since), joined, free)
        return len(batch.notes) + len(batch.receipts)

    def _sort(
        self, found: Iterable[Joined | Held | Note], joined: list[Joined], free: list[Held]
    ) -> None:
        for each in found:
            if isinstance(each, Joined):
                joined.append(each)
            elif isinstance(each, Held):
                free.append(each)
            else:
                self._unreported.inc()

    async def _settle(self, free: Iterable[Held]) -> None:
        for number, held in enumerate(free, 1):
            held.open -= 1
            if not held.open:
                del self._held[held]
                await held.delivery.ack()
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _write_again(self) -> None:
        """Write what the oldest deliveries hold to the queue, and settle them."""
        oldest = next(iter(self._held), None)
        if oldest is None:
            return
        is_old = time.monotonic() - oldest.since > OLDEST_HELD
        if len(self._held) <= MOST_HELD and not is_old:
            return
        number = len(self._held) if is_old else MOST_HELD // 2
        deliveries = list(islice(self._held, number))
        notes, receipts = self._join.held_by(deliveries)
        try:
            await _put(self._notes, notes)
            await _put(self._receipts, receipts)
        except BrokerError as error:
            log.warning("receipts still wait in small batches: %s", error)
        else:
            await self._settle(list(self._join.released(deliveries)))


async def _first(arrived: asyncio.Queue[Delivery]) -> Delivery | None:
    """Return the next delivery, or None if there is none within `TICK`.

    `asyncio.wait_for` may swallow a cancellation before Python 3.12.
    """
    if not arrived.empty():
        return arrived.get_nowait()
    getting = asyncio.ensure_future(arrived.get())
    try:
        await asyncio.wait({getting}, timeout=TICK)
        return getting.result() if getting.done() else None
    finally:
        getting.cancel()


async def _put(batches: Batches, items: Sequence[Note] | Sequence[Receipt]) -> None:
    for start in range(0, len(items), AT_ONCE):
        await batches.put([encode_item(item) for item in items[start : start + AT_ONCE]])
