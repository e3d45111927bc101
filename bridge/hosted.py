"""Hosted mode: `bridge.QueueInput`, an input channel for a plain `rasa run`.

The only home of rasa in this package; imported when `bridge.QueueInput` is first used.

    bridge.QueueInput:
      channel: callback            # any native connector, with its keys beside it
      url: https://example.com/bot
      worker: true                 # this server also consumes and answers
      broker:                      # as the `bridge` section of endpoints.yml
        url: ${AMQP_URL}

The URL is that of the connector: /webhooks/callback/webhook. `rasa-bridge deliver --credentials`
with the same file sends the replies; with `channel: rest` the response carries them.
"""

from __future__ import annotations

import importlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from rasa.core.channels.channel import InputChannel, UserMessage
from sanic import Blueprint

from bridge.broker.queues import Queues
from bridge.connectors.registry import HOSTED, Channel, load_channel
from bridge.connectors.warnings import warn
from bridge.errors import SettingsError
from bridge.http.intake import guard
from bridge.http.protocol import ConnectionsOf
from bridge.messages import InboundMessage
from bridge.runtime.imports import claim_names
from bridge.settings.files import BrokerSettings, broker_settings
from bridge.webhook.node import WebhookNode

log = logging.getLogger(__name__)

OnNewMessage = Callable[[UserMessage], Awaitable[Any]]


class QueueInput(InputChannel):
    """Puts the messages of a connector on the queue.

    With `worker: true`, the same server also consumes the queue and runs the turns.
    """

    def __init__(self, channel: Channel, broker: BrokerSettings, worker: bool) -> None:
        self._channel = channel
        self._broker = broker
        self._worker = worker
        self._queues: Queues | None = None
        self._app: Any = None
        # Of the instance: Rasa's API looks for the channel of the user's last message by it.
        self.name = lambda: channel.connector.name  # type: ignore[method-assign]

    @classmethod
    def name(cls) -> str:
        return "queue"

    def get_output_channel(self) -> Any:
        """Return an output channel for calls of Rasa's HTTP API: its replies go to `deliver`.

        None for a channel that answers in the response of a request: Rasa then collects the replies
        in the response of the call.
        """
        if self._queues is None or not self._channel.has_reply_queues:
            return None
        connector = self._channel.connector
        message = InboundMessage(
            id=uuid.uuid4().hex,
            channel=self._channel.name,
            sender_id="",
            text="",
            input_channel=connector.name,
            output_channel=connector.output_name or connector.name,
            priority=connector.priority,
        )
        claim_names()
        hosted = importlib.import_module("worker.hosted")
        return hosted.ApiOutput(message, self._queues, lambda: self._app.ctx.agent)

    def url_prefix(self) -> str:
        """Return the connector's name, so that the provider's URL stays the same."""
        return self._channel.name

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> QueueInput:
        """Return the channel that a section of credentials.yml describes.

        Raises:
            SettingsError: a key is unknown, missing or of the wrong type.
        """
        section = credentials or {}
        worker = section.get("worker", False)
        if not isinstance(worker, bool):
            raise SettingsError(f"{HOSTED}: key 'worker' must be true or false")
        broker = broker_settings(section.get("broker"), f"{HOSTED}: broker")
        return cls(load_channel(HOSTED, section), broker, worker)

    def blueprint(self, on_new_message: OnNewMessage) -> tuple[Blueprint, ...]:
        """Return the connector's blueprint, which also runs the queue's side, and our limits."""
        warn([self._channel])
        node = WebhookNode(self._broker, {self._channel.name: self._channel})
        self._queues = node.queues
        blueprint = self._channel.connector.blueprint(node.inbox)
        workers: list[Any] = []

        @blueprint.listener("before_server_start")
        async def guarded(app: Any, *_: Any) -> None:
            self._app = app
            limits = guard(app)
            limits.limit(f"/webhooks/{self.url_prefix()}/", self._channel.connector.max_body)

        # Before this event, the agent is not loaded: a turn would do nothing and be acked.
        @blueprint.listener("after_server_start")
        async def start(app: Any, *_: Any) -> None:
            def failed(error: BaseException) -> None:
                log.critical("stopping: the queue cannot be used: %s", error)
                app.stop()

            node.start(failed)
            if self._worker:
                # Imported by name: `worker` depends on `bridge`, never the reverse.
                claim_names()
                hosted = importlib.import_module("worker.hosted")
                worker = hosted.HostedWorker(self._broker, on_new_message, lambda: app.ctx.agent)
                worker.start(failed)
                workers.append(worker)

        @blueprint.listener("before_server_stop")
        async def stop(app: Any, *_: Any) -> None:
            for worker in workers:
                await worker.stop()

        # Requests that are still running before this event may need the queue.
        @blueprint.listener("after_server_stop")
        async def stopped(app: Any, *_: Any) -> None:
            await node.stop()

        return ConnectionsOf("bridge_limits"), blueprint
