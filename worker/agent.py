"""Rasa in this process: loads the assistant once and runs turns with it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bridge.broker.url import safe_url
from bridge.errors import SettingsError, TurnFailed
from bridge.messages import Handler, InboundMessage
from worker import commands, compat, duplicates, event_types, models, rasa_logs, reminders
from worker.compat import (
    Agent,
    FailSafeTrackerStore,
    InMemoryLockStore,
    InMemoryTrackerStore,
    OutputChannel,
    UserMessage,
)
from worker.locks import ConversationLocks
from worker.models import Models
from worker.output_channel import QueueOutput
from worker.routes import metadata_with_route

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


@dataclass(frozen=True)
class Assistant:
    """A loaded assistant, and the server that has newer models of it, if there is one."""

    models: Models
    server: compat.ModelServer | None

    async def follow(self) -> None:
        """Let newer models take over until cancelled."""
        if self.server is not None:
            await models.follow(self.models, self.server, compat.successor)

    def model_name(self) -> str:
        """Return the name of the model that runs the next turn."""
        return compat.model_name(self.models.agent)


async def load(
    model: str, endpoints: str | None, level: int, remote_storage: str | None = None
) -> Assistant:
    """Return the assistant with the newest model at `model`, ready to run turns.

    `model` is a file or a folder. If the endpoints name a model server, the model comes from there,
    and this waits until it has one. With `remote_storage`, `model` is a name there.

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
    server = compat.ModelServer(available.model) if available.model else None
    available.model = None  # Rasa would replace the model in the middle of turns
    with tempfile.TemporaryDirectory() as folder:
        if server is not None:
            await models.first(server, folder)
            model = folder
        origin = safe_url(server.url) if server else model
        agent = await _load(model, origin, available, remote_storage)
    _fail_loudly(agent)
    compat.reuse_queries(agent.tracker_store)
    await compat.check_limits(agent)
    log.info("assistant %s is ready", agent.model_id)
    return Assistant(Models(agent, compat.retire), server)


async def _load(model: str, origin: str, available: Any, remote_storage: str | None) -> Agent:
    try:
        agent = await compat.load(model, available, remote_storage)
    except Exception as error:
        # Rasa itself only logs what is wrong with a model.
        check = "run 'rasa-bridge doctor', which checks each of them"
        is_missing = isinstance(error, ModuleNotFoundError)
        raise SettingsError(
            f"a server or store of the assistant cannot be used: {_reason(error)}",
            fix="install the package of its driver beside rasa" if is_missing else check,
        ) from error
    if remote_storage and not agent.is_ready():
        raise SettingsError(
            f"--remote-storage {remote_storage}: the model '{model}' cannot be loaded from there",
            fix="check its name (-m), and the variables that Rasa needs, such as BUCKET_NAME",
        )
    if not agent.is_ready():
        _load_again(agent, model, origin)
    return agent


def _load_again(agent: Agent, model: str, origin: str) -> None:
    """Load a model that Rasa could not load, because it has only logged why.

    Raises:
        SettingsError: it cannot be loaded.
    """
    try:
        agent.load_model(model)
    except Exception as error:
        reason = _reason(error).rstrip(".")
        if isinstance(error.__cause__, ImportError):
            raise SettingsError(
                f"{origin}: {reason} ({_reason(error.__cause__)})",
                fix="start in the folder that has its module, or install the module",
            ) from error
        raise SettingsError(
            f"{origin}: contains no model that this version of rasa can load ({reason})",
            fix="run 'rasa train'",
        ) from error


def _reason(error: Exception) -> str:
    """Return an error in one line. A URL in it may contain a password."""
    text = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    name = type(error).__name__
    return f"{name}: {text}" if text and "://" not in text else name


def _fail_loudly(agent: Agent) -> None:
    """Remove Rasa's FailSafeTrackerStore around the tracker store.

    It catches the errors of the store and continues in memory, so the turn would be acked and lost.
    Without it, the turn fails and is retried.
    """
    while isinstance(agent.tracker_store, FailSafeTrackerStore):
        agent.tracker_store = agent.tracker_store._tracker_store
    agent.processor.tracker_store = agent.tracker_store


def has_shared_trackers(assistant: Assistant) -> bool:
    """Whether other processes see the same trackers."""
    return not isinstance(assistant.models.agent.tracker_store, InMemoryTrackerStore)


def has_event_broker(assistant: Assistant) -> bool:
    """Whether the events of a conversation are published."""
    return assistant.models.agent.tracker_store.event_broker is not None


def agent_handler(assistant: Assistant) -> Handler:
    """Return the handler that runs turns with an assistant in this process."""
    return turn_handler(assistant.models.turn)


def turn_handler(
    turn: Callable[[], AbstractContextManager[Agent]], on_new_message: OnNewMessage | None = None
) -> Handler:
    """Return the handler that runs one turn per message.

    `turn` gives the agent of a turn, and is left at its end. The turn calls `on_new_message`, which
    uses that agent, or the agent itself. The agent's tracker remembers completed turns: they are
    not run again. Commands are run as well.
    """
    reminders.install()
    rasa_logs.note_errors()
    event_types.remember(compat.Event)

    async def handle(message: InboundMessage, output: Any) -> None:
        with turn() as agent:
            if not agent.is_ready():
                # Rasa would log this, send no reply, and return as if the turn had succeeded.
                raise TurnFailed(503, "no model is loaded")
            if message.command is not None:
                await commands.run(agent, message, output)
                return
            duplicates.watch(agent.processor)
            run = on_new_message or agent.handle_message
            try:
                await duplicates.run_new(message, lambda new: run(user_message(new, output)))
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
        metadata=metadata_with_route(message),
    )
