"""Enqueues the messages of wrapped Rasa channels, and checks their responses.

A channel's own handler may swallow errors, or answer before its message is enqueued. The middleware
here replaces such a response: no channel answers with a 2xx for a message that is not on the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.error_responses import error_response
from bridge.errors import BridgeError
from bridge.messages import InboundMessage

if TYPE_CHECKING:
    from sanic import Blueprint, Request as SanicRequest
    from sanic.response import HTTPResponse


def parse(connector: Connector, message: Any, whole_responses: bool) -> InboundMessage:
    """Return Rasa's `UserMessage` as an inbound message.

    `whole_responses` says whether the output channel that will send overrides `send_response`.
    """
    return InboundMessage(
        id=str(message.message_id),
        channel=connector.channel,
        sender_id=message.sender_id,
        text=message.text or "",
        input_channel=message.input_channel or connector.name,
        output_channel=message.output_channel.name(),
        parse_data=message.parse_data,
        metadata=message.metadata,
        whole_responses=whole_responses,
        priority=connector.priority,
    )


class Progress:
    """Whether the messages of one HTTP request are enqueued."""

    def __init__(self) -> None:
        self.running = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.error: BridgeError | None = None


_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def tracked() -> Iterator[None]:
    """Record on the current request that a message is being enqueued, and the error if it fails."""
    progress = _progress.get() or Progress()
    progress.running += 1
    progress.idle.clear()
    try:
        yield
    except BridgeError as error:
        progress.error = error
        raise
    finally:
        progress.running -= 1
        if not progress.running:
            progress.idle.set()


def replace_failed_responses(blueprint: Blueprint) -> None:
    """Make a blueprint answer with an error response if a message was not enqueued."""
    blueprint.middleware(_begin, "request")
    blueprint.middleware(_replace_failure, "response")


async def _begin(request: SanicRequest) -> None:
    _progress.set(Progress())


async def _replace_failure(request: SanicRequest, response: HTTPResponse) -> HTTPResponse | None:
    progress = _progress.get()
    if progress is None:
        return None
    for _ in range(3):
        # The handler may have left `on_new_message` to a task that has not started yet.
        await asyncio.sleep(0)
    await progress.idle.wait()
    return error_response(progress.error) if progress.error else None
