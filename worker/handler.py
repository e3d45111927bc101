"""From an inbound message to a turn: what a handler is, and what runs one.

A handler is `async def handle(message: InboundMessage, output: QueueOutput) -> None`. It knows
nothing of AMQP. It raises to have the turn run again.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

from bridge.broker.queues import Queues
from bridge.connectors.registry import where_failed
from bridge.errors import BrokerError, SettingsError, Unroutable
from bridge.messages import Handler, InboundMessage, TurnEnd
from bridge.runtime.imports import add_working_directory, refuse_shadowed
from bridge.runtime.retry import backoff
from bridge.telemetry import metrics
from worker.output_channel import QueueOutput

log = logging.getLogger(__name__)


class Turns:
    """Runs one turn for each inbound message."""

    def __init__(
        self,
        handler: Handler,
        queues: Queues,
        make_output: Callable[[InboundMessage, Queues], QueueOutput],
    ) -> None:
        self._handler = handler
        self._queues = queues
        self._make_output = make_output

    async def run(self, message: InboundMessage) -> None:
        """Run the turn; raises whatever the handler raises."""
        started = asyncio.get_running_loop().time()
        with metrics.turn.labels(message.channel).time():
            await self._handler(message, self._make_output(message, self._queues))
        log.info("turn took %.0f ms", (asyncio.get_running_loop().time() - started) * 1000)

    async def finished(self, message: InboundMessage, error: str | None) -> None:
        """Tell the webhook process that waits, if one does, that no more replies will come."""
        if message.reply_to is None:
            return
        end = TurnEnd(in_reply_to=message.id, ticket=message.reply_to.ticket, error=error)
        failures = 0
        while True:
            try:
                await self._queues.put_turn_end(end, message.reply_to)
                return
            except Unroutable:
                log.info("nobody waits for the turn any more")
                return
            except BrokerError:
                failures += 1
                await asyncio.sleep(backoff(failures))


def conversation_of(message: InboundMessage) -> str:
    """The turns of one conversation run in order."""
    return message.sender_id


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
        raise SettingsError(
            f"{where}cannot be imported: {error}", fix="start in the folder that holds it"
        ) from error
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
