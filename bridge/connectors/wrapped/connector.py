"""Any Rasa `InputChannel`, unchanged, behind the queue. Imports no rasa: the channel brings it.

Its blueprint is given an `on_new_message` that enqueues. Its replies are sent
- by `deliver`, through the output channel that `get_output_channel()` rebuilds there, or
- if there is none, by the webhook process that holds the output channel of the request. If that
  one collects (it has `messages`, as Rasa's CollectingOutputChannel), what it collects is the
  answer of the request, so the request waits for its turn.

Output channels whose client blocks run in threads.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any

from sanic import Blueprint, Request as SanicRequest
from sanic.response import HTTPResponse

from bridge.connectors.base import Collected, Connector, Inbox, Request
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.wrapped.threads import blocks, in_thread, outside_loop
from bridge.errors import BridgeError, RequestRejected, RetryableDeliveryError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import logs

log = logging.getLogger(__name__)

TURN_TIMEOUT = 60.0
"""Seconds that a request waits for its turn, if its output channel collects."""
HOLDING = 600.0
"""Seconds that an output channel is held for the replies of its turn, if no request waits."""
INSISTENCE = RetryPolicy(max_age=60.0)
"""For how long an output channel that is held here is asked to send a reply."""
CALL_TIMEOUT = 60.0
"""Seconds after which a rebuilt output channel has failed: its client may know no timeout."""


class _Progress:
    """What became of the messages of one request."""

    def __init__(self) -> None:
        self.running = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.error: BridgeError | None = None


_progress: ContextVar[_Progress | None] = ContextVar("progress", default=None)


class WrappedConnector(Connector):
    """A connector made of an `InputChannel` object."""

    def __init__(self, input_channel: Any) -> None:
        self._input_channel = input_channel
        self.name = str(input_channel.name())  # type: ignore[misc]
        self._background: set[asyncio.Task[None]] = set()
        self.synchronous = not self._can_rebuild()  # type: ignore[misc]
        _silence_structlog()

    @property
    def collects(self) -> bool:
        # Also one that can be rebuilt may answer some requests in the response.
        return True

    def _can_rebuild(self) -> bool:
        try:
            output = outside_loop(self._input_channel.get_output_channel)
        except Exception as error:
            log.warning(
                "channel %s: no output channel to rebuild (%s)", self.name, logs.described(error)
            )
            return False
        return output is not None and not _only_collects(output)

    def served_at(self) -> str:
        """Below this path it serves what it likes."""
        return f"/webhooks/{self.channel}/"

    def parse(self, request: Request) -> list[InboundMessage]:
        raise RequestRejected(404, "this channel parses its requests itself")

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return the channel's own blueprint; a failed enqueue is never answered 2xx."""

        async def on_new_message(message: Any) -> None:
            progress = _progress.get() or _Progress()
            progress.running += 1
            progress.idle.clear()
            try:
                with logs.bound(channel=self.channel):
                    await self._enqueue(message, inbox)
            except BridgeError as error:
                progress.error = error
                raise
            finally:
                progress.running -= 1
                if not progress.running:
                    progress.idle.set()

        make = partial(self._input_channel.blueprint, on_new_message)
        blueprint: Blueprint = outside_loop(make)
        if self.channel != self.name:
            _rename(blueprint, f"{blueprint.name}_{self.channel}")
        blueprint.middleware(_begin, "request")
        blueprint.middleware(_replace_failure, "response")
        return blueprint

    async def _enqueue(self, message: Any, inbox: Inbox) -> None:
        output = message.output_channel
        inbound = InboundMessage(
            id=str(message.message_id),
            channel=self.channel,
            sender_id=message.sender_id,
            text=message.text or "",
            input_channel=message.input_channel or self.name,
            output_channel=output.name(),
            parse_data=message.parse_data,
            metadata=message.metadata,
        )
        if not self.synchronous and not _only_collects(output):
            await inbox.enqueue(inbound)
            return
        collects = hasattr(output, "messages")
        replies = inbox.collect(inbound, TURN_TIMEOUT if collects else HOLDING)
        await replies.enqueued()
        if collects:
            # The channel reads them as soon as this returns.
            await _forward(replies, partial(send_through, output))
            return
        forwarding = _forward(replies, partial(_insist, _sender(output)))
        task = asyncio.get_running_loop().create_task(self._logged(forwarding))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _logged(self, forwarding: Any) -> None:
        try:
            await forwarding
        except Exception as error:
            log.error("replies not sent: %s", type(error).__name__)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return [reply]

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        try:
            output = await in_thread(self._input_channel.get_output_channel)
            await asyncio.wait_for(_sender(output)(reply), CALL_TIMEOUT)
        except Exception as error:
            raise RetryableDeliveryError(
                f"{type(self._input_channel).__name__}: {type(error).__name__}"
            ) from error


def _only_collects(output: Any) -> bool:
    """Whether it is Rasa's own: its subclasses may send what they collect, as `callback` does."""
    return type(output).__name__ == "CollectingOutputChannel"


def _silence_structlog() -> None:
    """Where nobody has configured it, it prints the users' texts that Rasa's channels log."""
    structlog: Any = sys.modules.get("structlog")
    if structlog is not None and not structlog.is_configured():
        nothing = structlog.make_filtering_bound_logger(logging.CRITICAL)
        structlog.configure(wrapper_class=nothing)


def _rename(blueprint: Any, name: str) -> None:
    """Give a blueprint another name. Sanic also tells its routes, and their middleware, by it."""
    old, blueprint.name = blueprint.name, name
    for futures in ("_future_routes", "_future_statics"):
        renamed = {
            f._replace(name=f.name.replace(old, name, 1)) for f in getattr(blueprint, futures)
        }
        setattr(blueprint, futures, renamed)


async def _begin(request: SanicRequest) -> None:
    _progress.set(_Progress())


async def _replace_failure(request: SanicRequest, response: HTTPResponse) -> HTTPResponse | None:
    """Answer for what was enqueued, whatever the channel's handler made of it."""
    progress = _progress.get()
    if progress is None:
        return None
    for _ in range(3):
        # A handler may have left its on_new_message to a task that has not begun yet.
        await asyncio.sleep(0)
    await progress.idle.wait()
    return error_response(progress.error) if progress.error else None


Send = Callable[[Reply], Coroutine[Any, Any, None]]


def _sender(output: Any) -> Send:
    """Return what sends through an output channel, without holding up this loop.

    Only one whose client blocks leaves the loop: others may hold on to it, as a socket does.
    """
    if not blocks(type(output)):
        return partial(send_through, output)
    return lambda reply: in_thread(lambda: asyncio.run(send_through(output, reply)))


async def _insist(send: Send, reply: Reply) -> None:
    """Send a reply, again and again if need be; past the limits log that it is lost."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with logs.bound(**reply.ids):
        for attempt in itertools.count(1):
            try:
                await send(reply)
                return
            except Exception as error:
                delay = INSISTENCE.delay(attempt, loop.time() - began)
                what = logs.described(error)
            if delay is None:
                log.error("reply not sent (%s): lost, as its output channel is held here", what)
                return
            log.warning("reply not sent yet (%s); again in %.1f s", what, delay)
            await asyncio.sleep(delay)


async def _forward(replies: Collected, send: Send) -> None:
    async for reply in replies:
        await send(reply)


async def send_through(output: Any, reply: Reply) -> None:
    """Send a reply through one of Rasa's output channels."""
    to, options = reply.recipient_id, reply.options
    if reply.kind == "text":
        await output.send_text_message(to, reply.text, **options)
    elif reply.kind == "buttons":
        await output.send_text_with_buttons(to, reply.text, reply.content, **options)
    elif reply.kind == "quick_replies":
        await output.send_quick_replies(to, reply.text, reply.content, **options)
    elif reply.kind == "image":
        await output.send_image_url(to, reply.content, **options)
    elif reply.kind == "attachment":
        await output.send_attachment(to, reply.content, **options)
    elif reply.kind == "elements":
        await output.send_elements(to, reply.content, **options)
    else:
        await output.send_custom_json(to, reply.content, **options)
