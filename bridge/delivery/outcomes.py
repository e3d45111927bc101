"""What follows from a receipt: a report, a message to the assistant, a template, a dead letter."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from bridge.broker.queues import Queues, until_confirmed
from bridge.broker.receipts import ReceiptQueue
from bridge.connectors.base import Connector
from bridge.connectors.receipts import ReceiptOptions
from bridge.connectors.toolkit.events import digest
from bridge.delivery.join import Joined
from bridge.errors import BridgeError, Undelivered
from bridge.messages import REPLIES, DeadLetter, InboundMessage, RecentIds, Reply, encode
from bridge.messages.receipts import RECEIPT, Note, Outcome, Receipt, intent_text, report_of
from bridge.telemetry import logs, metrics

log = logging.getLogger(__name__)

MOST = 100
"""Receipts of one report."""
TEMPLATE = ":template"
"""Ends the id of a template that is sent instead of a reply."""


class Outcomes:
    """The effects of a channel's receipts. Each is confirmed before its receipt is settled."""

    def __init__(
        self, connector: Connector, options: ReceiptOptions, queue: ReceiptQueue, queues: Queues
    ) -> None:
        self._connector = connector
        self._channel = connector.channel
        self._options = options
        self._queue = queue
        self._queues = queues
        self._templates = RecentIds(10_000)
        """Turns for which a template was sent: several replies of a turn need one."""

    async def follow(self, joined: Iterable[Joined]) -> None:
        """Return once every effect is confirmed, however long the broker's trouble lasts."""
        first = [each for each in joined if each.is_first]
        by_outcome: dict[Outcome, list[Joined]] = defaultdict(list)
        by_conversation: dict[str, list[tuple[Joined, Note]]] = defaultdict(list)
        for each in first:
            by_outcome[each.receipt.outcome].append(each)
            self._count(each)
            needs_work = each.receipt.outcome == "failed" or self._intent(each.receipt)
            if each.note is not None and needs_work:
                by_conversation[each.note.conversation].append((each, each.note))
        await asyncio.gather(
            *(self._report(outcome, group) for outcome, group in by_outcome.items()),
            *(self._in_order(group) for group in by_conversation.values()),
        )

    def _count(self, joined: Joined) -> None:
        receipt, note = joined.receipt, joined.note
        if note is None:
            metrics.reply_outcomes.labels(self._channel, "unmatched").inc()
        elif joined.is_final and receipt.outcome != "failed":
            metrics.reply_outcomes.labels(self._channel, "delivered").inc()
            took = max(0.0, receipt.at - note.sent_at)
            metrics.time_to_delivery.labels(self._channel).observe(took)

    async def _report(self, outcome: Outcome, group: list[Joined]) -> None:
        for start in range(0, len(group), MOST):
            told = [(each.receipt, each.note) for each in group[start : start + MOST]]
            body = report_of(self._channel, outcome, told)

            async def publish(body: bytes = body) -> None:
                await self._queue.report(outcome, body)

            await until_confirmed(publish, "report of receipts")

    async def _in_order(self, group: list[tuple[Joined, Note]]) -> None:
        """Do what follows from the receipts of one conversation."""
        for joined, note in group:
            ids = {"reply": note.reply_id, "provider_id": note.provider_id}
            with logs.bound(channel=self._channel, **ids):
                try:
                    if joined.receipt.outcome == "failed" and joined.is_final:
                        await self._failed(joined.receipt, note)
                    await self._tell(joined.receipt, note)
                except BridgeError as error:
                    # Only what the broker will never accept; the receipt must not come again.
                    log.error("a receipt has no effect: %s", error)

    def _intent(self, receipt: Receipt) -> str | None:
        return self._options.intents.get(receipt.outcome)

    async def _tell(self, receipt: Receipt, note: Note) -> None:
        """Tell the assistant, unless the reply answered such a message: that would never end."""
        intent = self._intent(receipt)
        if not intent or note.in_reply_to.startswith(RECEIPT):
            return
        connector = self._connector
        message = InboundMessage(
            id=f"{RECEIPT}{receipt.provider_id}:{receipt.outcome}",
            channel=self._channel,
            sender_id=note.conversation,
            text=intent_text(intent, receipt, note),
            input_channel=connector.name,
            output_channel=connector.output_name or connector.name,
            metadata={"provider_id": receipt.provider_id, "in_reply_to": note.in_reply_to},
            route=note.reply.route if note.reply else {},
            priority=connector.priority,
        )
        await until_confirmed(lambda: self._queues.put_inbound(message), "message of a receipt")

    async def _failed(self, receipt: Receipt, note: Note) -> None:
        """Send the template instead, or dead-letter the part that was not delivered."""
        reply = note.reply
        if reply is None:
            return
        if await self.replaced(reply, receipt.code):
            outcome = "template"
        else:
            # A replay is a new call: the old id would be recognised as delivered.
            again = replace(reply, id=f"{reply.id}~{digest(receipt.provider_id)}")
            letter = DeadLetter.of(
                again,
                Undelivered(receipt.code),
                flow=REPLIES,
                reason="undelivered",
                first_at=note.sent_at,
            )
            body = encode(again)
            await until_confirmed(lambda: self._queues.put_dead(body, letter), "dead letter")
            outcome = "dead_letter"
            metrics.reply_outcomes.labels(self._channel, outcome).inc()
        log.warning("not delivered: error %s, %s", receipt.code, outcome.replace("_", " "))

    async def replaced(self, reply: Reply, code: str | None) -> bool:
        """Return whether a template is sent instead of a reply that was refused with this code."""
        template = self._template(reply, code)
        if template is None:
            return False
        turn = (reply.recipient_id, reply.in_reply_to)
        if turn not in self._templates:
            await until_confirmed(lambda: self._queues.put_reply(template), "template")
            self._templates.add(turn)
        metrics.reply_outcomes.labels(self._channel, "template").inc()
        return True

    def _template(self, reply: Reply, code: str | None) -> Reply | None:
        """Return the template to send instead; None if a template itself was refused."""
        content, closed = self._options.template, self._connector.closed_window
        if content is None or code not in closed or reply.id.endswith(TEMPLATE):
            return None
        return replace(
            reply,
            id=f"{reply.in_reply_to}{TEMPLATE}",
            kind="custom",
            text=None,
            content=self._connector.template(content),
            options={},
        )
