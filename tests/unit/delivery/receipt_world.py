"""A model of a channel's receipt queue, with the real work on it, and what follows from it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from bridge.broker.queues import Queues
from bridge.broker.receipts import ReceiptQueue
from bridge.broker.topology import Topology
from bridge.connectors.base import Connector
from bridge.connectors.receipts import ReceiptOptions
from bridge.connectors.whatsapp import WhatsAppConnector
from bridge.delivery.join import Join
from bridge.delivery.outcomes import Outcomes
from bridge.delivery.receipts import Notes, ReceiptWork
from bridge.errors import BrokerError
from bridge.messages import Delivery, Reply, decode
from bridge.messages.receipts import Receipt
from bridge.webhook.receipts import QueueReceipts
from tests.support.fakes import a_delivery

TOPOLOGY = Topology(channels=("whatsapp",), receipts=("whatsapp",))
INCOMING = TOPOLOGY.incoming_receipts_exchange


class World:
    """Everything but AMQP and HTTP is real. `kill` ends the consumer as SIGKILL does."""

    def __init__(self, *, watermarks: bool = False, **options: Any) -> None:
        self.watermarks = watermarks
        self.options = ReceiptOptions(**options)
        self.connector: Connector = WhatsAppConnector("EAAW", "1065", "secret")
        self.connector.channel = "whatsapp"
        self.unacked: dict[int, bytes] = {}
        """What is on the queue, in order: tag → body."""
        self.most_held = 0
        self.reports: list[dict[str, Any]] = []
        self.delivered: set[str] = set()
        """The replies that were reported as delivered."""
        self.failed: set[str] = set()
        """The turns of which a reply was dead-lettered or replaced by a template."""
        self.dead: list[Reply] = []
        self.headers: list[dict[str, Any]] = []
        self.templates: list[Reply] = []
        self.told: list[dict[str, Any]] = []
        self.errors: list[BrokerError] = []
        """Raised first, one per publish."""
        self.queue = ReceiptQueue(self, TOPOLOGY, "whatsapp")  # type: ignore[arg-type]
        self.outcomes = Outcomes(
            self.connector,
            self.options,
            self.queue,
            Queues(self, TOPOLOGY),  # type: ignore[arg-type]
        )
        self.notes = Notes(self.queue.batches("notes"), "whatsapp", self.outcomes)
        self.sink = QueueReceipts(self.queue, linger=0.0)
        self.join = Join(self.options.keep, watermarks=watermarks)
        self._tag = 0
        self._generation = 0
        self._arrived: asyncio.Queue[Delivery] | None = None
        self._work: asyncio.Task[None] | None = None

    separates_priorities = True
    confirm_timeout = 5.0

    def begin(self, *how: Any) -> None:
        """Leave it to `publish`."""

    async def publish(self, exchange: str, routing_key: str, body: bytes, **how: Any) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        if exchange == INCOMING:
            self._tag += 1
            self.unacked[self._tag] = body
            self.most_held = max(self.most_held, len(self.unacked))
            self._deliver(self._tag)
        elif exchange == TOPOLOGY.receipts_exchange:
            report = json.loads(body)
            assert routing_key == f"whatsapp.{report['outcome']}"
            self.reports.append(report)
            if report["outcome"] == "delivered":
                self.delivered.update(r["reply_id"] for r in report["receipts"] if r["reply_id"])
        elif exchange == TOPOLOGY.dead_exchange:
            self.dead.append(decode(body, Reply))
            self.failed.add(self.dead[-1].in_reply_to)
            self.headers.append(how["headers"])
        elif exchange == TOPOLOGY.replies_exchange:
            self.templates.append(decode(body, Reply))
            self.failed.add(self.templates[-1].in_reply_to)
        else:
            self.told.append(json.loads(body))

    def start(self) -> None:
        """Consume: everything that is not acked is delivered, in order."""
        self._generation += 1
        self._arrived = asyncio.Queue()
        self.join = Join(self.options.keep, watermarks=self.watermarks)
        work = ReceiptWork("whatsapp", self.join, self.outcomes, self.queue)
        for tag in list(self.unacked):
            self._deliver(tag)
        self._work = asyncio.ensure_future(work.run(self._arrived))

    async def kill(self) -> None:
        assert self._work is not None
        self._arrived = None
        self._generation += 1
        self._work.cancel()
        await asyncio.wait([self._work])

    def _deliver(self, tag: int) -> None:
        generation = self._generation

        async def ack() -> None:
            if generation == self._generation:
                del self.unacked[tag]

        if self._arrived is not None:
            self._arrived.put_nowait(a_delivery(self.unacked[tag], ack=ack))

    async def sent(self, reply: Reply, *ids: str, at: float | None = None) -> None:
        await self.notes.put(reply, reply, ids, time.time() if at is None else at)

    async def receive(self, *receipts: Receipt) -> None:
        await self.sink.put(receipts)

    def reported(self) -> list[tuple[str, str, str | None]]:
        """Return outcome, provider's id and reply of every receipt in the reports."""
        return [
            (report["outcome"], each["provider_id"], each["reply_id"])
            for report in self.reports
            for each in report["receipts"]
        ]
