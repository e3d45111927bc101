"""Runs one turn per inbound message, with a handler.

A handler is `async def handle(message, output) -> None` (`bridge.Handler`). It knows nothing of
AMQP; if it raises, the turn is retried.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from msgspec.structs import replace

from bridge.broker.queues import Queues, until_confirmed
from bridge.errors import MessageError, MessageTooLarge, SettingsError, Unroutable
from bridge.messages import Handler, InboundMessage, RecentIds, TurnEnd, as_redelivered
from bridge.runtime import work
from bridge.runtime.imports import add_working_directory, refuse_shadowed, where_failed
from bridge.telemetry import logs, metrics, trace
from worker.output_channel import QueueOutput

log = logging.getLogger(__name__)


class Turns:
    """Runs one turn for each inbound message, and says when its replies are complete."""

    def __init__(
        self,
        handler: Handler,
        queues: Queues,
        make_output: Callable[[InboundMessage, Queues], QueueOutput],
    ) -> None:
        self._handler = handler
        self._queues = queues
        self._make_output = make_output
        self._failed = RecentIds()

    async def run(self, message: InboundMessage) -> None:
        """Run the turn. Raises what the handler raises."""
        if self._failed and self._key(message) in self._failed:
            # Its replies may have been sent by an attempt that failed later.
            message = as_redelivered(message)
        text = message.text.strip()
        if text != message.text:
            # As Rasa's UserMessage does, for every handler.
            message = replace(message, text=text)
        now = asyncio.get_running_loop().time
        started = now()
        try:
            output = self._make_output(message, self._queues)
            await self._handler(message, output)
            work.seal()
            await output.finish()
        except BaseException:
            self._failed.add(self._key(message))
            raise
        finally:
            seconds = now() - started
            metrics.turn.of(message.channel).observe(seconds)
        error = work.logged()
        if error:
            metrics.turn_errors.labels(message.channel).inc()
        trace.turn(message, seconds, output.sent, error)
        logs.event(log, "turn took %.0f ms", seconds * 1000)

    def _key(self, message: InboundMessage) -> tuple[Hashable, str]:
        return (message.channel, message.lane()), message.id

    async def finished(self, message: InboundMessage, error: str | None) -> None:
        """Tell a waiting webhook process that the turn has sent its last reply.

        `error` is the class name of the error if the turn was dead-lettered.
        """
        reply_to = message.reply_to
        if reply_to is None:
            return
        end = TurnEnd(in_reply_to=message.id, ticket=reply_to.ticket, error=error)
        try:
            await until_confirmed(
                lambda: self._queues.put_turn_end(end, reply_to), "turn end", final=(Unroutable,)
            )
        except Unroutable:
            log.info("the request no longer waits for its turn")
        except MessageTooLarge:  # where it waits is not the name of a queue
            log.warning("the request cannot be told that its turn has ended")


def messages_only(handler: Handler) -> Handler:
    """Return the handler, with commands refused: only a worker with a Rasa model can run them."""

    def handle(message: InboundMessage, output: Any) -> Awaitable[None]:
        if message.command is not None:
            raise MessageError(
                "this worker has no Rasa model, which calls of the API and reminders need",
                fix="run workers of one namespace with the same --model, then replay the message",
            )
        return handler(message, output)

    return handle


def load_handler(path: str) -> Handler:
    """Return the async function that `module:function` names.

    The module may be in the working directory or installed.

    Raises:
        SettingsError: there is no such function, or it is not async with two parameters.
    """
    module_name, _, attribute = path.partition(":")
    where = f"--handler {path}: "
    if not attribute:
        raise SettingsError(f"{where}write it as module:function")
    try:
        handler: Handler = _imported(module_name, attribute, where)
        _check(handler, attribute, where)
    except SettingsError:
        refuse_shadowed(module_name, where)
        raise
    return handler


def _imported(module_name: str, attribute: str, where: str) -> Any:
    add_working_directory()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        refuse_shadowed(error.name or "", where)
        # What is missing may be a library of the handler's.
        is_handler = module_name.partition(".")[0] == (error.name or "").partition(".")[0]
        fix = "start in the folder that holds it" if is_handler else "install what is missing"
        raise SettingsError(f"{where}cannot be imported: {error}", fix=fix) from error
    except Exception as error:
        raise SettingsError(f"{where}{where_failed(error)}") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise SettingsError(f"{where}{module_name} has no '{attribute}'") from error


def _check(handler: Any, name: str, where: str) -> None:
    call = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
    if not inspect.iscoroutinefunction(call) or len(inspect.signature(handler).parameters) != 2:
        raise SettingsError(f"{where}it must be 'async def {name}(message, output)'")
