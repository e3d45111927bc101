"""Reads the dead letters of a namespace without the bridge's own code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aio_pika


@dataclass(frozen=True)
class Dead:
    """One dead letter. `headers` are without their prefix `x-bridge-`."""

    body: dict[str, Any]
    headers: dict[str, Any]

    @property
    def reason(self) -> str:
        """The reason and error that the bridge recorded, or RabbitMQ's own reason."""
        deaths = self.headers.get("x-death") or [{}]
        return f"{self.headers.get('reason') or deaths[0]} {self.headers.get('error', '')}"


async def dead_letters(url: str, namespace: str, flow: str = "inbound") -> list[Dead]:
    """Return every dead letter of a flow. All of them stay in the queue."""
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
