"""The worker's side of hosted mode: a `rasa run` that also consumes the queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from bridge.settings.files import BrokerSettings
from worker.agent import AssistantOutput, OnNewMessage, turn_handler
from worker.compat import Agent, model_name
from worker.role import worker_node

PREFETCH = 16
GRACE = 10.0
"""Seconds that running turns get to finish; Sanic itself gives requests 15."""


class HostedWorker:
    """Runs turns with the `on_new_message` of a Rasa server."""

    def __init__(
        self, broker: BrokerSettings, on_new_message: OnNewMessage, current: Callable[[], Agent]
    ) -> None:
        """`current` returns the server's agent, which a request may replace (`PUT /model`)."""
        handler = turn_handler(lambda: nullcontext(current()), on_new_message)
        self._node = worker_node(
            broker,
            handler,
            AssistantOutput,
            concurrency=None,
            prefetch=PREFETCH,
            grace=GRACE,
            model=lambda: model_name(current()),
        )

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        """Start to consume; `on_failure` receives the TopologyError of a first connect."""
        self._node.start(on_failure)

    async def stop(self) -> None:
        """Finish the running turns, start no others, close."""
        await self._node.drain(GRACE)
        await self._node.stop()
