"""Rasa in this process: loads the assistant once and runs turns with it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.errors import SettingsError, TurnFailed
from bridge.messages import Handler, InboundMessage
from worker import compat, duplicates, rasa_logs
from worker.compat import (
    Agent,
    FailSafeTrackerStore,
    InMemoryLockStore,
    InMemoryTrackerStore,
    OutputChannel,
    UserMessage,
)
from worker.locks import ConversationLocks
from worker.output_channel import QueueOutput

log = logging.getLogger(__name__)

OnNewMessage = Callable[[UserMessage], Awaitable[Any]]


class AssistantOutput(QueueOutput, OutputChannel):
    """`QueueOutput` as a subclass of Rasa's output channel, which Rasa expects."""

    wants_tracker_state = False
    """rasa-pro then does not compute the state of the tracker after each turn."""

    async def finish(self) -> None:
        """Send what was streamed, also in the background (rasa-pro)."""
        delivered = getattr(self, "wait_for_response_deliveries", None)
        if delivered is not None:
            await delivered()
        await super().finish()


class LaneLocks(ConversationLocks, InMemoryLockStore):
    """`ConversationLocks` as a lock store, which Rasa expects."""


async def load(model: str, endpoints: str | None, level: int) -> Agent:
    """Return the agent of the newest model at `model` (a file or a folder), ready to run turns.

    Raises:
        SettingsError: the model cannot be loaded, or rasa-pro has no valid licence. Rasa itself
            would return an agent that never answers.
    """
    rasa_logs.configure(level)
    compat.check_licence()
    available = compat.read_endpoints(endpoints, model)
    if available.lock_store is not None:
        log.info("the lock store is not used: lanes run one turn of a conversation at a time")
    available.lock_store = LaneLocks()
    try:
        agent = await compat.load(model, available)
    except Exception as error:
        raise SettingsError(f"{model}: cannot be loaded: {error}") from error
    if not agent.is_ready():
        raise SettingsError(
            f"{model}: contains no model that this version of rasa can load", fix="run 'rasa train'"
        )
    _fail_loudly(agent)
    await compat.check_limits(agent)
    log.info("assistant %s is ready", agent.model_id)
    return agent


def _fail_loudly(agent: Agent) -> None:
    """Remove Rasa's FailSafeTrackerStore around the tracker store.

    It catches the errors of the store and continues in memory, so the turn would be acked and lost.
    Without it, the turn fails and is retried.
    """
    while isinstance(agent.tracker_store, FailSafeTrackerStore):
        agent.tracker_store = agent.tracker_store._tracker_store
    agent.processor.tracker_store = agent.tracker_store


def has_shared_trackers(agent: Agent) -> bool:
    """Whether other processes see the same trackers."""
    return not isinstance(agent.tracker_store, InMemoryTrackerStore)


def agent_handler(agent: Agent) -> Handler:
    """Return the handler that runs turns with an agent in this process."""

    return turn_handler(agent.handle_message, lambda: agent)


def turn_handler(on_new_message: OnNewMessage, current: Callable[[], Agent]) -> Handler:
    """Return the handler that calls `on_new_message` once per message.

    `current` returns the agent that `on_new_message` uses now. Its tracker remembers completed
    turns: they are not run again.
    """

    async def handle(message: InboundMessage, output: Any) -> None:
        agent = current()
        if not agent.is_ready():
            # Rasa would log this, send no reply, and return as if the turn had succeeded.
            raise TurnFailed(503, "no model is loaded")
        duplicates.watch(agent.processor)
        try:
            with duplicates.refused(message):
                await on_new_message(user_message(message, output))
        except duplicates.AlreadyRun:
            log.info("the tracker already contains the turn: not run again")

    return handle


def user_message(message: InboundMessage, output: Any) -> UserMessage:
    """Return an inbound message as Rasa's UserMessage, with all attributes."""
    return UserMessage(
        text=message.text,
        output_channel=output,
        sender_id=message.sender_id,
        parse_data=message.parse_data,
        input_channel=message.input_channel,
        message_id=message.id,
        metadata=message.metadata,
    )
