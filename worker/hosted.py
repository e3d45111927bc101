"""The worker's side of hosted mode: a `rasa run` that consumes beside its HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rasa.core.agent import Agent

from bridge.runtime.role import close, watch
from bridge.settings.files import BrokerSettings
from worker.agent import AssistantOutput, OnNewMessage, turn_handler
from worker.role import services

CONCURRENCY = 16
PREFETCH = 16
GRACE = 10.0
"""Seconds that running turns have to finish; Sanic itself gives requests 15."""


class HostedWorker:
    """Runs turns with the `on_new_message` that Rasa gave."""

    def __init__(self, broker: BrokerSettings, on_new_message: OnNewMessage, agent: Agent) -> None:
        handler = turn_handler(on_new_message, agent)
        publisher, self._consumer, reporter = services(
            broker, handler, AssistantOutput, CONCURRENCY, PREFETCH
        )
        self._services = (publisher, self._consumer, reporter)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        """Start to consume; `on_failure` gets a TopologyError of the first connect."""
        self._tasks = [watch(service.run(), on_failure) for service in self._services]

    async def stop(self) -> None:
        """Finish the turns that run, start no other one, close."""
        await self._consumer.drain(GRACE)
        await close(self._tasks)
