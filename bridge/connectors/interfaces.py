"""The queue and the sockets as a connector sees them; the roles implement these interfaces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from bridge.messages import InboundMessage, Reply
from bridge.messages.receipts import Receipt


class Inbox(Protocol):
    """The inbound queue as a connector sees it; it replaces Rasa's `on_new_message`."""

    async def enqueue(self, message: InboundMessage) -> None:
        """Publish a message; return once the broker has confirmed it.

        Raises:
            BrokerError: the broker did not confirm the message. Let it propagate: the sender then
                gets a 503 and sends again.
        """

    def collect(self, message: InboundMessage, timeout: float) -> Collected:
        """Enqueue a message and collect the replies of its turn, for synchronous channels.

        Await `enqueued()` on the result, then iterate over it. `timeout` is in seconds and covers
        the whole turn.
        """


class EventSender(Protocol):
    """Sends events from `deliver` to the webhook processes that hold a channel's sockets."""

    async def send(self, id: str, event: bytes, awaited: bool = False) -> bool:
        """Publish an event to every webhook process that serves the channel.

        Returns once the broker has confirmed it; if `awaited`, whether a client has received it so
        far. An event that is sent twice with the same `id` arrives once.

        Raises:
            ServiceUnavailable: the event was not confirmed, or no such process exists.
        """


class EventReceiver(Protocol):
    """Receives the events for a channel's sockets in a webhook process."""

    receives: bool
    """Whether the broker already queues events for this process. Never goes back to False."""
    reached: bool
    """Set it to False while an event is handled that no client of this process receives."""

    def events(self) -> AsyncIterator[bytes]:
        """Yield events; requesting the next one settles the one before."""


class ReceiptSink(Protocol):
    """Where a webhook puts the receipts of a channel that are joined to its replies."""

    async def put(self, receipts: Sequence[Receipt]) -> None:
        """Publish receipts; return once the broker has confirmed them.

        Raises:
            BrokerError: not confirmed. Let it propagate, so that the service reports again.
        """


class Collected(Protocol):
    """The replies of one turn, for the HTTP request that waits for them."""

    async def enqueued(self) -> None:
        """Return once the broker has confirmed the message.

        Raises:
            BrokerError: the broker did not confirm the message.
        """

    def __aiter__(self) -> AsyncIterator[Reply]:
        """Yield the replies of the turn in order, as they arrive.

        Raises:
            TurnFailed: the turn was dead-lettered (status 500), or did not end in time (504).
        """
