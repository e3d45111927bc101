"""python-socketio's client manager: how an event finds the process that holds the socket.

That is its RabbitMQ manager, with the bridge's own connections under it (`bridge.relay`). Its own
would not do: it logs what it cannot publish and returns, raises CancelledError once its channel is
closed, and what is emitted while a process is cut off from RabbitMQ never gets there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from socketio import AsyncAioPikaManager

from bridge.connectors.base import EventReceiver, EventSender


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
