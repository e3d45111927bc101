"""Turns a reply into a Socket.IO event, and takes the event to the process that holds the socket.

The client managers are python-socketio's RabbitMQ manager on the bridge's own connections
(`bridge.broker.relay`). The original is not reliable enough: it logs publish errors and returns,
raises CancelledError once its channel is closed, and loses the events that are emitted while a
process is cut off from RabbitMQ.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from socketio import AsyncAioPikaManager

from bridge.connectors.interfaces import EventReceiver, EventSender
from bridge.connectors.toolkit.replies import (
    buttons_of,
    dicts,
    idempotency_key,
    paragraphs,
    parts,
)
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply


async def deliver(
    reply: Reply, sender: EventSender, event: str, namespace: str, awaited: bool
) -> bool:
    """Emit one part of a reply as an event; raises as `Connector.deliver`.

    Return whether its client has received it, if that is `awaited`. What custom JSON sends to
    others is not awaited.
    """
    arguments = {"namespace": namespace, **emission(reply)}
    room = arguments.get("to") or arguments.get("room")
    manager = SendingManager(sender, idempotency_key(reply), awaited and room == reply.recipient_id)
    await manager.emit(event, **arguments)
    return manager.is_received


class Emit(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of custom JSON: arguments of `emit`."""

    data: Any = None
    room: str | list[str] | None = None
    to: str | list[str] | None = None
    skip_sid: str | list[str] | None = None
    namespace: str | None = None


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per event: a paragraph or an element; buttons go with the last paragraph."""
    if reply.kind in ("buttons", "quick_replies"):
        pieces = [p for p in (reply.text or "").strip().split("\n\n") if p.strip()] or [""]
        *before, last = pieces
        return parts(reply, [*({"text": p, "content": []} for p in before), {"text": last}])
    if reply.kind == "elements":
        return parts(reply, ({"content": [element]} for element in dicts(reply.content)))
    return paragraphs(reply)


def emission(reply: Reply) -> dict[str, Any]:
    """Return the arguments of `emit`, except the event's name.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    if reply.kind != "custom":
        return {"data": _data(reply), "room": reply.recipient_id}
    try:
        msgspec.convert(reply.content, Emit)
    except msgspec.ValidationError as error:
        names = ", ".join(Emit.__struct_fields__)
        raise RejectedDeliveryError(f"custom JSON must be an object of {names}") from error
    return {"data": None, "room": reply.recipient_id, **reply.content}


def _data(reply: Reply) -> dict[str, Any]:
    if reply.kind in ("buttons", "quick_replies"):
        buttons = [
            {"content_type": "text", "title": button.title, "payload": button.payload}
            for button in buttons_of(reply)
        ]
        return {"text": reply.text, "quick_replies": buttons}
    if reply.kind == "image":
        return {"attachment": {"type": "image", "payload": {"src": reply.content}}}
    if reply.kind == "attachment":
        return {"attachment": reply.content}
    if reply.kind == "elements":
        payload = {"template_type": "generic", "elements": reply.content[0]}
        return {"attachment": {"type": "template", "payload": payload}}
    return {"text": reply.text}


class SendingManager(AsyncAioPikaManager):  # type: ignore[misc]
    """The manager in `deliver`: emits the event of one reply, and raises as its sender does."""

    def __init__(self, sender: EventSender, id: str, awaited: bool = False) -> None:
        super().__init__(write_only=True)
        self._sender = sender
        self._id = id
        self._awaited = awaited
        self.is_received = True
        """Whether a client has received the event, if that was awaited."""

    async def _publish(self, data: dict[str, Any]) -> None:
        event = self.json.dumps(data).encode()
        self.is_received = await self._sender.send(self._id, event, self._awaited)


class ReceivingManager(AsyncAioPikaManager):  # type: ignore[misc]
    """The manager in a webhook process: passes arriving events to the sockets it holds."""

    def __init__(self, receiver: EventReceiver) -> None:
        super().__init__()
        self._receiver = receiver

    def _listen(self) -> AsyncIterator[bytes]:
        return self._receiver.events()

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        clients = self.get_participants(message.get("namespace"), message.get("room"))
        self._receiver.reached = any(True for _ in clients)
        await super()._handle_emit(message)

    def stop(self) -> None:
        """Stop listening."""
        self.thread.cancel()
