"""The output channel of a turn: every `send_*` becomes one reply on the queue, confirmed.

Needs no rasa; `worker.agent` adds Rasa's `OutputChannel` as a base.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from bridge.broker.queues import Queues
from bridge.dead_letters.filter import DeadLetter
from bridge.errors import BrokerError, Unroutable
from bridge.messages import TYPES, InboundMessage, Reply, ReplyKind, encode
from bridge.runtime.retry import backoff
from bridge.telemetry import logs

log = logging.getLogger(__name__)

GIVE_UP = 120.0
"""Seconds after which a reply that the broker does not take fails its turn."""


class QueueOutput:
    """Same methods as rasa.core.channels.channel.OutputChannel (3.6).

    It keeps working after its turn: a reminder holds on to it.
    """

    def __init__(self, message: InboundMessage, queues: Queues) -> None:
        super().__init__()
        self._message = message
        self._queues = queues
        self._sent = 0

    def name(self) -> str:
        """The name of Rasa's own output channel of that service: Rasa picks responses by it."""
        return self._message.output_channel

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        """Send everything that a response of the domain holds, in Rasa's order."""
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
        await self._send(recipient_id, "text", text=text, options=kwargs)

    async def send_image_url(self, recipient_id: str, image: str, **kwargs: Any) -> None:
        await self._send(recipient_id, "image", content=image, options=kwargs)

    async def send_attachment(self, recipient_id: str, attachment: Any, **kwargs: Any) -> None:
        await self._send(recipient_id, "attachment", content=attachment, options=kwargs)

    async def send_text_with_buttons(
        self, recipient_id: str, text: str, buttons: list[dict[str, Any]], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "buttons", text=text, content=buttons, options=kwargs)

    async def send_quick_replies(
        self, recipient_id: str, text: str, quick_replies: list[dict[str, Any]], **kwargs: Any
    ) -> None:
        await self._send(
            recipient_id, "quick_replies", text=text, content=quick_replies, options=kwargs
        )

    async def send_elements(
        self, recipient_id: str, elements: Iterable[dict[str, Any]], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "elements", content=list(elements), options=kwargs)

    async def send_custom_json(
        self, recipient_id: str, json_message: dict[str, Any], **kwargs: Any
    ) -> None:
        await self._send(recipient_id, "custom", content=json_message, options=kwargs)

    async def _send(
        self,
        recipient_id: str,
        kind: ReplyKind,
        *,
        text: str | None = None,
        content: Any = None,
        options: dict[str, Any],
    ) -> None:
        """Publish one reply; return once it is confirmed.

        Raises:
            BrokerError: not confirmed within `GIVE_UP` seconds; the turn fails and is retried.
            MessageError: the reply has no JSON form.
        """
        message = self._message
        reply = Reply(
            id=f"{message.id}:{self._sent}",
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
        )
        self._sent += 1
        # Said here, too: a reminder is in no turn.
        with logs.bound(**reply.ids):
            await self._publish(reply)

    async def _publish(self, reply: Reply) -> None:
        deadline = time.monotonic() + GIVE_UP
        failures = 0
        while True:
            try:
                await self._queues.put_reply(reply, self._message.reply_to)
                return
            except Unroutable as error:
                # Whoever waited is gone, or the channel has no queues: a retry finds the same.
                letter = DeadLetter.of(reply, error, flow="replies", reason="unroutable")
                await self._queues.put_dead(encode(reply), letter, TYPES[Reply])
                log.error("reply set aside: %s", error)
                return
            except BrokerError as error:
                failures += 1
                if time.monotonic() > deadline:
                    raise
                log.warning("reply not confirmed yet (%s)", error)
                await asyncio.sleep(backoff(failures))
