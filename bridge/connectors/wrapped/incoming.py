"""Enqueues the messages of wrapped Rasa channels, and checks their responses.

A channel's own handler may swallow errors, or answer before its message is enqueued. The middleware
here replaces such a response: no channel answers with a 2xx for a message that is not on the queue.
Outside a request, as in a task that listens, `on_new_message` waits for the broker (`Patience`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.error_responses import error_response
from bridge.errors import BridgeError, BrokerError, BrokerUnavailable, MessageTooLarge
from bridge.messages import InboundMessage
from bridge.runtime.retry import backoff

if TYPE_CHECKING:
    from sanic import Blueprint, Request as SanicRequest
    from sanic.response import HTTPResponse

log = logging.getLogger(__name__)

LONGEST_PAUSE = 1.0
"""Seconds between two tries."""
MOST = 10_000
"""Messages of a channel that may wait. There are several if it does not await `on_new_message`."""


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
        self.is_answered = False


_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def tracked() -> Iterator[bool]:
    """Record on the current request that a message is being enqueued, and the error if it fails.

    Yield whether the request can still be answered with that error. A task that listens has none,
    and a task that a request has started may outlive it.
    """
    progress = _progress.get() or _no_request()
    progress.running += 1
    progress.idle.clear()
    try:
        yield not progress.is_answered
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


def _no_request() -> Progress:
    progress = Progress()
    progress.is_answered = True
    return progress


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
    progress.is_answered = True
    return error_response(progress.error) if progress.error else None


class Patience:
    """The messages of one channel that wait for the broker, in their order.

    No sender can be told with a 503 to send them again. A channel that awaits `on_new_message`
    receives nothing else meanwhile.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def enqueue(self, once: Callable[[], Awaitable[None]]) -> None:
        """Call `once` until the broker accepts the message.

        Raises:
            BrokerUnavailable: `MOST` messages wait already.
            MessageTooLarge: the broker will never accept it.
        """
        if self._waiting >= MOST:
            raise BrokerUnavailable(f"{MOST} messages of the channel wait for RabbitMQ already")
        self._waiting += 1
        try:
            if self._turn.locked() or not await _accepted(once, logging.WARNING):
                async with self._turn:
                    await _until_accepted(once)
        except asyncio.CancelledError:
            log.error("message lost: the channel stopped before RabbitMQ accepted it")
            raise
        finally:
            self._waiting -= 1


async def _until_accepted(once: Callable[[], Awaitable[None]]) -> None:
    failures = 0
    while not await _accepted(once, logging.DEBUG):
        failures += 1
        await asyncio.sleep(min(backoff(failures), LONGEST_PAUSE))


async def _accepted(once: Callable[[], Awaitable[None]], level: int) -> bool:
    try:
        await once()
    except MessageTooLarge:
        raise
    except BrokerError as error:
        log.log(level, "a message waits until RabbitMQ accepts it: %s", error)
        return False
    return True
