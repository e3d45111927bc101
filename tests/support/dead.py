"""The dead letters of a namespace, read without the bridge's own code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aio_pika


@dataclass(frozen=True)
class Dead:
    """One dead letter; `headers` without their `x-bridge-`."""

    body: dict[str, Any]
    headers: dict[str, Any]

    @property
    def reason(self) -> str:
        """As the bridge says it, or RabbitMQ if it set the message aside."""
        deaths = self.headers.get("x-death") or [{}]
        return f"{self.headers.get('reason') or deaths[0]} {self.headers.get('error', '')}"


async def dead_letters(url: str, namespace: str, flow: str = "inbound") -> list[Dead]:
    """Return every dead letter of a flow; all of them stay where they are."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"{namespace}.dead.{flow}", passive=True)
        found = []
        for _ in range(queue.declaration_result.message_count or 0):
            message = await queue.get()
            assert message is not None
            headers = {k.removeprefix("x-bridge-"): v for k, v in message.headers.items()}
            found.append(Dead(json.loads(message.body), headers))
        return found
