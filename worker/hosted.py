"""The worker's side of hosted mode: a `rasa run` that consumes beside its HTTP server."""

from __future__ import annotations

import asyncio

from rasa.core.agent import Agent

from bridge.links import Link
from bridge.settings import BrokerSettings
from worker.agent import AssistantOutput, OnNewMessage, turn_handler
from worker.role import links

CONCURRENCY = 16
PREFETCH = 16


def consume(
    broker: BrokerSettings, on_new_message: OnNewMessage, agent: Agent
) -> list[asyncio.Task[None]]:
    """Start to run turns with the `on_new_message` that Rasa gave; return what to cancel."""
    publisher, consumer = links(
        broker, turn_handler(on_new_message, agent), AssistantOutput, CONCURRENCY, PREFETCH
    )
    both: list[Link] = [publisher, consumer]
    return [asyncio.get_running_loop().create_task(link.run()) for link in both]
