"""Rasa's HTTP API (rasa/server.py, 3.6), one function per route; `answer` runs one call.

What changes a conversation runs in its lane, and once: the tracker tells whether a call was saved
before. Unlike in Rasa, such a call is retried when it fails, like a turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from rasa.core.lock_store import LockError
from rasa.shared.exceptions import RasaException

from bridge.errors import BridgeError, MessageError, MessageTooLarge
from bridge.messages import InboundMessage
from worker import api_changes as changes, api_reads as reads
from worker.api_call import Answer, Call, CallRefused


async def answer(agent: Any, message: InboundMessage, output: Any) -> None:
    """Run the call of a message, and send its answer to the request that waits for it.

    Raises:
        MessageError: this worker does not know the call.
        Exception: a call that changes a conversation failed; the message is retried.
    """
    assert message.command is not None
    run = ROUTES.get(message.command.name)
    if run is None:
        raise MessageError("the command is unknown to this process", fix="upgrade it")
    try:
        result = await run(Call(agent, message, output))
    except CallRefused as refusal:
        result = refusal.answer()
    except (BridgeError, LockError):
        raise
    except Exception as error:
        # Rasa's own errors, such as an unknown action, would be the same in the next attempt.
        if not message.command.reads and not isinstance(error, RasaException):
            raise
        result = _failed(error)
    try:
        await output.answer(result._asdict())
    except MessageTooLarge as error:
        await output.answer(_failed(error)._asdict())


def _failed(error: Exception) -> Answer:
    problem = f"An unexpected error occurred. Error: {error}"
    return CallRefused(HTTPStatus.INTERNAL_SERVER_ERROR, "ConversationError", problem).answer()


ROUTES: dict[str, Callable[[Call], Awaitable[Answer]]] = {
    "trigger_intent": changes.trigger_intent,
    "execute": changes.execute,
    "messages": changes.add_message,
    "append_events": changes.append_events,
    "replace_events": changes.replace_events,
    "predict": changes.predict,
    "tracker": reads.read_tracker,
    "story": reads.read_story,
    "parse": reads.parse,
    "predict_events": reads.predict_events,
    "status": reads.status,
    "version": reads.version,
    "domain": reads.domain,
}
"""Name of a command → what it does. `bridge.webhook.api` names the same ones."""
