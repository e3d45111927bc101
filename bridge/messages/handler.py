"""What a worker calls for each inbound message. Interfaces only; `worker` implements them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from bridge.messages.wire import InboundMessage


class OutputChannel(Protocol):
    """Where a handler sends its replies: the methods of Rasa's `OutputChannel`.

    Each `send_*` puts one reply on the queue and returns once the broker has confirmed it
    (rasa.core.channels.channel.OutputChannel, 3.6). `recipient_id` is usually the message's
    `sender_id`.

    Raises (all `send_*`):
        BrokerError: the reply was not confirmed; let it propagate, and the turn is retried.
    """

    def name(self) -> str:
        """Return the name by which Rasa picks channel-specific responses, such as `slack`."""

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        """Send everything that one of Rasa's responses holds: text, buttons, image, …"""

    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None: ...

    async def send_image_url(self, recipient_id: str, image: str, **kwargs: Any) -> None: ...

    async def send_attachment(self, recipient_id: str, attachment: Any, **kwargs: Any) -> None: ...

    async def send_text_with_buttons(
        self, recipient_id: str, text: str, buttons: list[dict[str, Any]], **kwargs: Any
    ) -> None: ...

    async def send_quick_replies(
        self, recipient_id: str, text: str, quick_replies: list[dict[str, Any]], **kwargs: Any
    ) -> None: ...

    async def send_elements(
        self, recipient_id: str, elements: Iterable[dict[str, Any]], **kwargs: Any
    ) -> None: ...

    async def send_custom_json(
        self, recipient_id: str, json_message: dict[str, Any], **kwargs: Any
    ) -> None: ...


Handler = Callable[[InboundMessage, OutputChannel], Awaitable[None]]
"""`async def handle(message, output)`: runs one turn. An exception has the turn retried."""
