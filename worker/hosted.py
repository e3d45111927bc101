"""The worker's side of hosted mode: a `rasa run` that also consumes the queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from msgspec.structs import replace

from bridge.broker.queues import Queues
from bridge.messages import InboundMessage, ReplyKind
from bridge.settings.files import BrokerSettings
from worker.agent import AssistantOutput, OnNewMessage, turn_handler
from worker.compat import Agent, model_name
from worker.role import worker_node
from worker.routes import last_route

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


class ApiOutput(AssistantOutput):
    """Replies of a call of Rasa's HTTP API: they go where the user wrote last on the channel.

    Rasa asks for it without naming the conversation, so the first reply looks for the route.
    """

    def __init__(
        self, message: InboundMessage, queues: Queues, current: Callable[[], Agent]
    ) -> None:
        super().__init__(message, queues)
        self._current = current
        self._has_route = False

    async def schedule(
        self, sender_id: str, id: str, due_at: float, reminder: dict[str, Any]
    ) -> None:
        await self._find_route(sender_id)
        await super().schedule(sender_id, id, due_at, reminder)

    async def _send(self, recipient_id: str, kind: ReplyKind, *content: Any) -> None:
        await self._find_route(recipient_id)
        await super()._send(recipient_id, kind, *content)

    async def _find_route(self, conversation: str) -> None:
        if self._has_route:
            return
        tracker = await self._current().tracker_store.retrieve(conversation)
        if tracker is not None:
            route = last_route(tracker, self._message.input_channel)
            self._message = replace(self._message, route=route)
        self._has_route = True
