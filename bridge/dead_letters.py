"""Dead letters: messages that were set aside, and why. Publishing one is `queues.py`'s part."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bridge.messages import InboundMessage, Reply


@dataclass(frozen=True)
class DeadLetter:
    """Why a message was set aside. Times are Unix seconds."""

    flow: str
    """`inbound` or `replies`."""
    reason: str
    """`undecodable`, `failed` (retries used up), `rejected` (can never succeed)."""
    error: str
    """Class and message of the last error."""
    attempts: int
    first_at: float
    last_at: float
    queue: str
    id: str = ""
    channel: str = ""
    conversation: str = ""

    def headers(self) -> dict[str, Any]:
        """AMQP headers, `x-bridge-` in front of each name.

        Texts are cut: all headers together must fit into one frame (128 KiB).
        """
        return {
            f"x-bridge-{name.replace('_', '-')}": value[:2000] if isinstance(value, str) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def of(
        cls,
        message: InboundMessage | Reply | None,
        error: Exception,
        *,
        flow: str,
        reason: str,
        queue: str = "",
        attempts: int = 1,
        first_at: float | None = None,
        id: str = "",
    ) -> DeadLetter:
        """Return the dead letter of a message, or, with its `id`, of a body that has none."""
        now = time.time()
        conversation = message.recipient_id if isinstance(message, Reply) else ""
        if isinstance(message, InboundMessage):
            conversation = message.sender_id
        return cls(
            flow=flow,
            reason=reason,
            error=f"{type(error).__name__}: {error}",
            attempts=attempts,
            first_at=first_at if first_at is not None else now,
            last_at=now,
            queue=queue,
            id=message.id if message else id,
            channel=message.channel if message else "",
            conversation=conversation,
        )
