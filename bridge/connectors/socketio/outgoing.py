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

from bridge.connectors.base import EventReceiver, EventSender
from bridge.connectors.toolkit.replies import buttons_of, dicts, paragraphs, parts
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply


class Emit(msgspec.Struct, forbid_unknown_fields=True):
    """What custom JSON may say: the arguments of `emit`."""

    data: Any = None
    room: str | list[str] | None = None
    to: str | list[str] | None = None
    skip_sid: str | list[str] | None = None
    namespace: str | None = None


def split(reply: Reply) -> Iterable[Reply]:
    """Return the events that a reply takes: each paragraph, each element; buttons with the last."""
    if reply.kind in ("buttons", "quick_replies"):
        pieces = [p for p in (reply.text or "").strip().split("\n\n") if p.strip()] or [""]
        *before, last = pieces
        return parts(reply, [*({"text": p, "content": []} for p in before), {"text": last}])
    if reply.kind == "elements":
        return parts(reply, ({"content": [element]} for element in dicts(reply.content)))
    return paragraphs(reply)


def emission(reply: Reply) -> dict[str, Any]:
    """Return the arguments of `emit`, but for the event.

    Raises:
        RejectedDeliveryError: none can be made of the reply's content.
    """
    if reply.kind != "custom":
        return {"data": _data(reply), "room": reply.recipient_id}
    try:
        msgspec.convert(reply.content, Emit)
    except msgspec.ValidationError as error:
        names = ", ".join(Emit.__struct_fields__)
        raise RejectedDeliveryError(f"custom JSON is no object of {names}") from error
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


class Emitter(AsyncAioPikaManager):  # type: ignore[misc]
    """Of `deliver`: emits the event of one reply, and raises as its sender does."""

    def __init__(self, sender: EventSender, id: str) -> None:
        super().__init__(write_only=True)
        self._sender = sender
        self._id = id

    async def _publish(self, data: dict[str, Any]) -> None:
        await self._sender.send(self._id, self.json.dumps(data).encode())


class Receiving(AsyncAioPikaManager):  # type: ignore[misc]
    """Of a webhook process: hands the events that arrive to the sockets it holds."""

    def __init__(self, receiver: EventReceiver) -> None:
        super().__init__()
        self._receiver = receiver

    def _listen(self) -> AsyncIterator[bytes]:
        return self._receiver.events()

    def stop(self) -> None:
        self.thread.cancel()
