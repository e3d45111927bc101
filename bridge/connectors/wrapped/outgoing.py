"""Sends replies through the output channels of wrapped Rasa channels.

Foreign output channels may call blocking clients in their coroutines. Which event loop runs them
depends on where the output channel lives:

- One that `deliver` rebuilds for each reply is run in a new thread, with a new event loop. So a
  blocking client delays only its own recipient. The thread also builds the output channel.
- One that a webhook process holds is run in the event loop of that process, as in Rasa, because it
  may use objects of that loop: sockets, sessions. Those of Rasa whose clients are known to block
  (`BLOCKING`) are run in threads.

The key `run_in_thread` of the channel overrides both rules. Use `true` for an output channel that
is held and blocks, and `false` for one that is rebuilt but keeps a client of one event loop for
several replies.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sized
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from bridge.connectors.interfaces import Collected
from bridge.errors import RetryableDeliveryError
from bridge.messages import Reply
from bridge.runtime.deadline import deadline
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import logs

log = logging.getLogger(__name__)

T = TypeVar("T")
Send = Callable[[Reply], Coroutine[Any, Any, None]]

CALL_TIMEOUT = 60.0
"""Seconds for one reply; the channel's own client may not have a timeout. In `deliver`, the
dispatcher has the same limit for every connector."""
RETRIES = RetryPolicy(max_age=60.0)
"""For replies through an output channel that a webhook process holds."""
BASE = "rasa.core.channels.channel"
"""The module of Rasa's own `send_response`, which makes one call for each part of a response."""
BLOCKING = frozenset({"rasa.core.channels.botframework", "rasa.core.channels.mattermost"})
"""Modules of Rasa whose output channels cannot be rebuilt and use blocking clients."""


async def deliver(reply: Reply, input_channel: Any, run_in_thread: bool | None) -> None:
    """Send a reply through the output channel that `input_channel` rebuilds.

    Raises:
        RetryableDeliveryError: the channel failed, for any reason.
    """
    get = input_channel.get_output_channel
    try:
        if run_in_thread is False:
            sending = send_through(await in_thread(get), reply)
        else:
            sending = in_thread(lambda: asyncio.run(send_through(get(), reply)))
        await sending
    except Exception as error:
        raise RetryableDeliveryError(
            f"{type(input_channel).__name__}: {type(error).__name__}"
        ) from error


def sender(output: Any, run_in_thread: bool | None) -> Send:
    """Return the function that sends replies through an output channel of this process."""
    if run_in_thread is None:
        run_in_thread = any(cls.__module__ in BLOCKING for cls in type(output).__mro__)
    if not run_in_thread:
        return partial(send_through, output)
    return lambda reply: in_thread(lambda: asyncio.run(send_through(output, reply)))


def overrides_send_response(output: Any) -> bool:
    """Return whether an output channel sends whole responses in its own way.

    It need not be a subclass of Rasa's: Rasa calls nothing but `send_response`.
    """
    method = getattr(output, "send_response", None)
    return method is not None and getattr(method, "__module__", None) != BASE


def collects(output: Any, option: bool | None = None) -> bool:
    """Return whether an output channel keeps replies, so that `on_new_message` must return after
    the turn, as in Rasa.

    Rasa's own has them in `messages`; others use another name. One that is made for a message, with
    a list, deque or queue that is still empty, is about to collect. `option` overrides this.
    """
    if option is not None:
        return option
    return hasattr(output, "messages") or any(map(_is_to_be_filled, _attributes(output).values()))


def is_rasas(output: Any) -> bool:
    """Return whether it is Rasa's CollectingOutputChannel; a subclass may send (`callback`)."""
    return type(output).__name__ == "CollectingOutputChannel"


def noticing(output: Any, send: Send, notice: Callable[[str], None]) -> Send:
    """Return `send`, which then calls `notice` with the attribute that a reply has made longer."""

    async def noticed(reply: Reply) -> None:
        before = _lengths(output)
        await send(reply)
        for name, length in _lengths(output).items():
            if length > before.get(name, 0):
                notice(name)

    return noticed


def _attributes(output: Any) -> dict[str, Any]:
    return getattr(output, "__dict__", {})


def _is_to_be_filled(value: Any) -> bool:
    if isinstance(value, asyncio.Queue):
        return value.empty()
    return isinstance(value, (list, deque)) and not value


def _lengths(output: Any) -> dict[str, int]:
    return {name: len(v) for name, v in _attributes(output).items() if isinstance(v, Sized)}


async def forward(replies: Collected, send: Send) -> None:
    """Send the replies of a turn, in order, as they arrive."""
    async for reply in replies:
        await send(reply)


async def send_with_retries(send: Send, reply: Reply) -> None:
    """Send a reply, with retries; log a reply that could not be sent as lost."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with logs.bound(**reply.ids):
        for attempt in itertools.count(1):
            try:
                await send_in_time(send, reply)
                return
            except Exception as error:
                delay = RETRIES.delay(attempt, loop.time() - began)
                what = logs.described(error)
            if delay is None:
                log.error("reply lost (%s): only this process holds its output channel", what)
                return
            log.warning("reply not sent yet (%s); next attempt in %.1f s", what, delay)
            await asyncio.sleep(delay)


async def send_in_time(send: Send, reply: Reply) -> None:
    """Send a reply in this process, whose loop must outlive an output channel that never returns.

    Raises:
        DeadlineExceeded: it was not sent in time.
    """
    with deadline(CALL_TIMEOUT):
        await send(reply)


async def send_through(output: Any, reply: Reply) -> None:
    """Send a reply through one of Rasa's output channels."""
    to, options = reply.recipient_id, reply.options
    if reply.kind == "response":
        # Rasa's own method removes what it has sent; another attempt must find everything.
        await output.send_response(to, copy.deepcopy(reply.content))
    elif reply.kind == "text":
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


def outside_loop(call: Callable[[], T]) -> T:
    """Return the result of a call, made in a thread without an event loop.

    Foreign code may call `asyncio.run`, which fails in a thread with a running loop.
    """
    return _started(call).result()


async def in_thread(call: Callable[[], T]) -> T:
    """Return the result of a call that is made in a new thread.

    A daemon thread per call: one that hangs delays neither another call nor the exit.
    """
    return await asyncio.wrap_future(_started(call))


def _started(call: Callable[[], T]) -> Future[T]:
    done: Future[T] = Future()
    # Once running, a future cannot be cancelled: the thread must be able to set the result even if
    # the caller has stopped waiting.
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done
