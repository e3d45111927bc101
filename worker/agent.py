"""Rasa in this process: load the assistant once, run turns with it. The worker's home of rasa."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

# Rasa reads it at import. Past it, a second turn of the conversation would overtake the first;
# lanes already run one turn at a time, so the lock only has to outlive the longest turn.
os.environ.setdefault("TICKET_LOCK_LIFETIME", "3600")
os.environ.setdefault("RASA_TELEMETRY_ENABLED", "false")
os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rasa.core.agent import Agent, load_agent
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.tracker_store import FailSafeTrackerStore, InMemoryTrackerStore
from rasa.core.utils import AvailableEndpoints
from rasa.shared.core.events import UserUttered

from bridge.errors import SettingsError, TurnFailed
from bridge.messages import Handler, InboundMessage
from worker import rasa_logs
from worker.output_channel import QueueOutput

log = logging.getLogger(__name__)

OnNewMessage = Callable[[UserMessage], Awaitable[Any]]


class AssistantOutput(QueueOutput, OutputChannel):
    """`QueueOutput` as the output channel that Rasa expects."""


async def load(model: str, endpoints: str | None, level: int) -> Agent:
    """Return the agent of the newest model at `model` (a file or a folder), ready to handle.

    Raises:
        SettingsError: it cannot be loaded. Rasa itself would return an agent that answers
            nothing.
    """
    rasa_logs.configure(level)
    available = AvailableEndpoints.read_endpoints(endpoints) if endpoints else AvailableEndpoints()
    try:
        agent = await load_agent(model_path=model, endpoints=available)
    except Exception as error:
        raise SettingsError(f"{model}: cannot be loaded: {error}") from error
    if not agent.is_ready():
        raise SettingsError(f"{model}: no model in it that this rasa can load: run 'rasa train'")
    _fail_loudly(agent)
    log.info("assistant %s is ready", agent.model_id)
    return agent


def _fail_loudly(agent: Agent) -> None:
    """Unwrap the tracker store from Rasa's FailSafeTrackerStore.

    That one swallows a store's errors and goes on in memory: the turn would be acked and lost.
    Without it the turn fails and is run again.
    """
    while isinstance(agent.tracker_store, FailSafeTrackerStore):
        agent.tracker_store = agent.tracker_store._tracker_store
    agent.processor.tracker_store = agent.tracker_store


def has_shared_trackers(agent: Agent) -> bool:
    """Whether another process sees the same trackers."""
    return not isinstance(agent.tracker_store, InMemoryTrackerStore)


def agent_handler(agent: Agent) -> Handler:
    """Return the handler that runs turns with an agent in this process."""

    return turn_handler(agent.handle_message, agent)


def turn_handler(on_new_message: OnNewMessage, agent: Agent) -> Handler:
    """Return the handler that calls `on_new_message` once for each message.

    The agent's tracker is the memory: a turn that it holds is not run again.
    """

    async def handle(message: InboundMessage, output: Any) -> None:
        if not agent.is_ready():
            # Rasa would log it, answer nothing and return as if all were well.
            raise TurnFailed(503, "no model is loaded")
        if await _is_in_tracker(agent, message):
            log.info("the turn is in its tracker already: not run again")
            return
        await on_new_message(user_message(message, output))

    return handle


def user_message(message: InboundMessage, output: Any) -> UserMessage:
    """Return Rasa's UserMessage of an inbound message, with all of its attributes."""
    return UserMessage(
        text=message.text,
        output_channel=output,
        sender_id=message.sender_id,
        parse_data=message.parse_data,
        input_channel=message.input_channel,
        message_id=message.id,
        metadata=message.metadata,
    )


async def _is_in_tracker(agent: Agent, message: InboundMessage) -> bool:
    """Whether this message's turn was saved before: the tracker is saved at the end of a turn."""
    tracker = await agent.tracker_store.retrieve(message.sender_id)
    return tracker is not None and any(
        isinstance(event, UserUttered) and event.message_id == message.id
        for event in reversed(tracker.events)
    )
