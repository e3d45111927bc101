"""The output channel of a turn: each `send_*` puts one confirmed reply on the queue.

It needs no rasa; `worker.agent` adds Rasa's `OutputChannel` as a base class.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from bridge.broker.queues import Queues, until_confirmed
from bridge.errors import BrokerError, BrokerUnavailable, Unroutable
from bridge.messages import (
    REMINDER,
    RESPONSE_VERSION,
    SCHEMA_VERSION,
    TYPES,
    Command,
    DeadLetter,
    InboundMessage,
    Reply,
    ReplyKind,
    as_redelivered,
    commanding,
    encode,
)
from bridge.telemetry import logs, metrics, trace

log = logging.getLogger(__name__)


class QueueOutput:
    """Has the methods of rasa.core.channels.channel.OutputChannel (3.6, and rasa-pro's).

    A text that arrives in chunks (rasa-pro) becomes one reply.
    """

    def __init__(self, message: InboundMessage, queues: Queues) -> None:
        super().__init__()
        self._message = message
        self._queues = queues
        self.sent = 0
        """Replies of the turn so far."""
        self._chunks: list[str] = []
        self._chunks_to = ""

    def name(self) -> str:
        """Return the name by which Rasa picks channel-specific responses."""
        return self._message.output_channel

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        """Send every part of a response of the domain, in Rasa's order.

        If the output channel sends responses in its own way, it receives this one whole.
        """
        if self._message.whole_responses:
            await self._send(recipient_id, "response", None, message, {})
            return
        rest = dict(message)
        if rest.get("quick_replies"):
            await self.send_quick_replies(
                recipient_id, rest.pop("text", ""), rest.pop("quick_replies"), **rest
            )
        elif rest.get("buttons"):
            await self.send_text_with_buttons(
                recipient_id, rest.pop("text", ""), rest.pop("buttons"), **rest
            )
        elif rest.get("text"):
            await self.send_text_message(recipient_id, rest.pop("text"), **rest)
        if rest.get("custom"):
            await self.send_custom_json(recipient_id, rest.pop("custom"), **rest)
        if rest.get("image"):
            await self.send_image_url(recipient_id, rest.pop("image"), **rest)
        if rest.get("attachment"):
            await self.send_attachment(recipient_id, rest.pop("attachment"), **rest)
        if rest.get("elements"):
            await self.send_elements(recipient_id, rest.pop("elements"), **rest)

    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
        await self._send(recipient_id, "text", text, None, kwargs)

    async def send_image_url(self, recipient_id: str, image: str, **kwargs: Any) -> None:
        await self._send(recipient_id, "image", None, image, kwargs)

    async def send_attachment(self, recipient_id: str, attachment: Any, **kwargs: Any) -> None:
        await self._send(recipient_id, "attachment", None, attachment, kwargs)

    async def send_text_with_buttons(
        self, recipient_id: str, text: str, buttons: list[dict[str, Any]], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "buttons", text, buttons, kwargs)

    async def send_quick_replies(
        self, recipient_id: str, text: str, quick_replies: list[dict[str, Any]], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "quick_replies", text, quick_replies, kwargs)

    async def send_elements(
        self, recipient_id: str, elements: Iterable[dict[str, Any]], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "elements", None, list(elements), kwargs)

    async def send_custom_json(
        self, recipient_id: str, json_message: dict[str, Any], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "custom", None, json_message, kwargs)

    async def send_response_chunk_start(self, recipient_id: str, **kwargs: Any) -> None:
        """Begin a text that arrives in chunks."""
        await self._flush()

    async def send_response_chunk(self, recipient_id: str, chunk: str, **kwargs: Any) -> None:
        """Keep a chunk until the text is complete, or another reply follows."""
        self._chunks.append(chunk)
        self._chunks_to = recipient_id

    async def send_response_chunk_end(
        self, recipient_id: str, *, interrupted: bool = False, **kwargs: Any
    ) -> None:
        """Send the text. An interrupted one belongs to a turn that fails and runs again."""
        if interrupted:
            self._chunks.clear()
        await self._flush()

    async def finish(self) -> None:
        """Send what the turn has not ended itself. Called after each turn that succeeds."""
        if self._chunks:
            await self._flush()

    async def _flush(self) -> None:
        text, self._chunks = "".join(self._chunks), []
        if text.strip():
            await self.send_response(self._chunks_to, {"text": text})

    def towards(self, **where: Any) -> QueueOutput:
        """Return an output channel for the same conversation that no request waits for.

        `where` are fields of the message: the channel, and how it is answered.
        """
        return type(self)(replace(self._message, reply_to=None, **where), self._queues)

    async def schedule(
        self, sender_id: str, id: str, due_at: float, reminder: dict[str, Any]
    ) -> None:
        """Put a reminder of a conversation aside; return once that is confirmed.

        It uses this output channel when it is due, at `due_at` (Unix seconds). What answered a
        request is silent then, since the request has ended. `reminder` is the event of Rasa.

        Raises:
            MessageTooLarge: the reminder exceeds the broker's limit.
            MessageError: it cannot be written as JSON.
        """
        message = self._message
        is_silent = message.reply_to is not None or is_silenced(message)
        command = Command(REMINDER, {"event": reminder, "silent": is_silent})
        due = commanding(
            message,
            command,
            id=id,
            sender_id=sender_id,
            text="",
            parse_data=None,
            metadata=None,
            reply_to=None,
            due_at=due_at,
            redelivered=False,
        )
        put = self._queues.put_aside_until_due
        await until_confirmed(lambda: put(due), "reminder")
        trace.note("scheduled", due)
        metrics.reminders.labels("scheduled").inc()
        log.info("%s scheduled", id)

    async def answer(self, content: dict[str, Any]) -> None:
        """Answer the request that waits for a call; drop the answer if none does any more.

        Raises:
            MessageTooLarge: the answer exceeds the broker's limit.
        """
        message = self._message
        if message.reply_to is None:
            return
        reply = self._reply(message.sender_id, "custom", None, content, {})
        put = self._queues.put_reply
        try:
            await until_confirmed(
                lambda: put(reply, message.reply_to), "answer", final=(Unroutable,)
            )
            trace.reply(reply)
        except Unroutable:
            log.info("the request no longer waits for its answer")

    async def _send(
        self,
        recipient_id: str,
        kind: ReplyKind,
        text: str | None,
        content: Any,
        options: dict[str, Any],
    ) -> None:
        """Publish one reply; return once it is confirmed, however long that takes.

        Raises:
            MessageTooLarge: the reply exceeds the broker's limit.
            MessageError: the reply cannot be written as JSON.
        """
        if self._chunks:
            await self._flush()
        reply = self._reply(recipient_id, kind, text, content, options)
        self.sent += 1
        if not trace.has_spans():
            await self._publish(reply)
            return
        with trace.sending(reply) as reply:
            await self._publish(reply)

    def _reply(
        self,
        recipient_id: str,
        kind: ReplyKind,
        text: str | None,
        content: Any,
        options: dict[str, Any],
    ) -> Reply:
        message = self._message
        return Reply(
            id=f"{message.id}:{self.sent}",
            channel=message.channel,
            recipient_id=recipient_id,
            kind=kind,
            text=text,
            content=content,
            options=options,
            route=message.route,
            in_reply_to=message.id,
            ticket=message.reply_to.ticket if message.reply_to else None,
            traceparent=message.traceparent,
            tracestate=message.tracestate,
            redelivered=message.redelivered,
            v=RESPONSE_VERSION if kind == "response" else SCHEMA_VERSION,
        )

    async def _publish(self, reply: Reply) -> None:
        try:
            await self._queues.put_reply(reply, self._message.reply_to)
            trace.reply(reply)
        except BrokerError as error:
            with logs.bound(**reply.ids):
                await self._publish_again(reply, error)

    async def _publish_again(self, reply: Reply, failed: BrokerError) -> None:
        """Publish a reply that was not confirmed because of an error, until it is."""

        def mark(error: BrokerError) -> None:
            nonlocal reply
            if isinstance(error, BrokerUnavailable) and error.unconfirmed:
                reply = as_redelivered(reply)  # the broker may have the copy before

        async def put() -> None:
            try:
                await self._queues.put_reply(reply, self._message.reply_to)
            except BrokerError as error:
                mark(error)
                raise

        mark(failed)
        try:
            await until_confirmed(put, "reply", final=(Unroutable,), failed=failed)
            trace.reply(reply)
        except Unroutable as error:
            # Its request is gone, or the channel has no queues: a retry would find the same.
            letter = DeadLetter.of(reply, error, flow=reply.flow, reason="unroutable")
            await self._queues.put_dead(encode(reply), letter, TYPES[Reply])
            trace.dead(reply, letter)
            log.error("reply dead-lettered: %s", error)


def is_silenced(message: InboundMessage) -> bool:
    """Return whether a message is a reminder whose replies have nowhere to go."""
    return message.command is not None and bool(message.command.arguments.get("silent"))
