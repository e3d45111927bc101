"""Puts any Rasa `InputChannel`, unchanged, behind the queue.

This package does not import rasa: the channel does. The channel's blueprint receives an
`on_new_message` that enqueues. Where its replies are sent depends on the channel:

- by `deliver`, if `get_output_channel()` rebuilds the output channel there;
- else by the webhook process that holds the output channel of the request. If that output channel
  collects (`outgoing.collects`), the request waits for its turn.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from bridge.connectors.base import Connector, Request
from bridge.connectors.interfaces import Inbox
from bridge.connectors.wrapped.incoming import Patience, parse, replace_failed_responses, tracked
from bridge.connectors.wrapped.outgoing import (
    collects,
    deliver,
    forward,
    is_rasas,
    noticing,
    outside_loop,
    overrides_send_response,
    send_in_time,
    send_through,
    send_with_retries,
    sender,
)
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage, Reply
from bridge.telemetry import logs

if TYPE_CHECKING:
    from sanic import Blueprint

    from bridge.http.client import HttpClient

log = logging.getLogger(__name__)

HOLD_TIMEOUT = 600.0
"""Seconds for which an output channel is held for the replies of its turn, if no request waits."""

ANSWERED_EARLY = (
    "%s: its output channel keeps replies in '%s', but on_new_message() returned before the turn;"
    " if the response needs them, set 'collects: true' in 'bridge:' of the channel's section, else"
    " 'collects: false'"
)


class WrappedConnector(Connector):
    """A connector for an `InputChannel` object."""

    file_keys = frozenset()  # what its metadata means is unknown

    def __init__(
        self,
        input_channel: Any,
        run_in_thread: bool | None = None,
        collects: bool | None = None,
    ) -> None:
        """`run_in_thread` says whether each reply is sent in a new thread with a new event loop,
        and `collects` whether output channels keep replies for the code of the channel.

        None selects the default, see `bridge.connectors.wrapped.outgoing`.
        """
        self._input_channel = input_channel
        self._run_in_thread = run_in_thread
        self._collects = collects
        self._patience = Patience()
        self.name = str(input_channel.name())  # type: ignore[misc]
        self._warned: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()
        rebuilt = None if collects else self._rebuilt()
        self._rebuilds = type(rebuilt)
        self.synchronous = rebuilt is None  # type: ignore[misc]
        self.whole_responses = overrides_send_response(rebuilt)
        _silence_structlog()

    @property
    def collects(self) -> bool:
        # A channel that `deliver` can rebuild may still answer some requests in the response.
        return True

    def _rebuilt(self) -> Any:
        """Return an output channel as `deliver` rebuilds it, or None if it cannot do that."""
        try:
            output = outside_loop(self._input_channel.get_output_channel)
        except Exception as error:
            log.warning(
                "channel %s: the output channel cannot be rebuilt (%s); the webhook process sends"
                " the replies",
                self.name,
                logs.described(error),
            )
            return None
        return None if is_rasas(output) else output

    def mounted_at(self) -> str:
        """Return the path below which the channel defines its own routes: as in Rasa, that of its
        `url_prefix()`; an instance with another name has its name there."""
        prefix = getattr(self._input_channel, "url_prefix", None)
        named = prefix() if callable(prefix) and self.channel == self.name else self.channel
        return urljoin("/webhooks/", str(named)).rstrip("/")

    def served_at(self) -> str:
        return f"{self.mounted_at()}/"

    def warnings(self) -> list[str]:
        return []  # it may authenticate its requests in its own code

    def parse(self, request: Request) -> list[InboundMessage]:
        raise RequestRejected(404, "this channel parses its requests itself")

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return the channel's own blueprint; a failed enqueue is never answered with a 2xx."""

        async def on_new_message(message: Any) -> Any:
            with tracked() as can_be_refused, logs.bound(channel=self.channel):
                return await self._enqueue(message, inbox, can_be_refused)

        make = partial(self._input_channel.blueprint, on_new_message)
        blueprint: Blueprint = outside_loop(make)
        if self.channel != self.name:
            _rename(blueprint, f"{blueprint.name}_{self.channel}")
        replace_failed_responses(blueprint)
        return blueprint

    async def _enqueue(self, message: Any, inbox: Inbox, can_be_refused: bool = True) -> Any:
        """Enqueue a message; return its replies if they are collected, as Rasa's agent does.

        If it cannot be refused, it waits until the broker accepts it.
        """
        output = message.output_channel
        keeps = collects(output, self._collects)
        is_other = not isinstance(output, self._rebuilds)
        held = self.synchronous or is_rasas(output) or (keeps and is_other)
        whole = overrides_send_response(output) if held else self.whole_responses
        inbound = parse(self, message, whole)
        enqueue = self._at_once if can_be_refused else self._patience.enqueue
        if not held:
            await enqueue(partial(inbox.enqueue, inbound))
            return None
        replies = inbox.collect(inbound, self.response_timeout if keeps else HOLD_TIMEOUT)
        await enqueue(replies.enqueued)
        if keeps:
            # The channel reads the collected messages as soon as this method returns.
            await forward(replies, partial(send_in_time, partial(send_through, output)))
            return getattr(output, "messages", None)
        sending = sender(output, self._run_in_thread)
        if self._collects is None:
            sending = noticing(output, sending, self._warn_of_collected)
        send = partial(send_with_retries, sending)
        task = asyncio.get_running_loop().create_task(_logged(forward(replies, send)))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return None

    @staticmethod
    async def _at_once(once: Callable[[], Awaitable[None]]) -> None:
        await once()

    def _warn_of_collected(self, attribute: str) -> None:
        if attribute not in self._warned:
            self._warned.add(attribute)
            log.error(ANSWERED_EARLY, type(self._input_channel).__name__, attribute)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return [reply]

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, self._input_channel, self._run_in_thread)


async def _logged(sending: Coroutine[Any, Any, None]) -> None:
    try:
        await sending
    except Exception as error:
        log.error("replies not sent: %s", type(error).__name__)


def _silence_structlog() -> None:
    """Silence structlog, unless it is configured: it prints texts that Rasa's channels log."""
    structlog: Any = sys.modules.get("structlog")
    if structlog is not None and not structlog.is_configured():
        nothing = structlog.make_filtering_bound_logger(logging.CRITICAL)
        structlog.configure(wrapper_class=nothing)


def _rename(blueprint: Any, name: str) -> None:
    """Rename a blueprint. Sanic derives the names of its routes and their middleware from it."""
    old, blueprint.name = blueprint.name, name
    for futures in ("_future_routes", "_future_statics"):
        renamed = {
            f._replace(name=f.name.replace(old, name, 1)) for f in getattr(blueprint, futures)
        }
        setattr(blueprint, futures, renamed)
