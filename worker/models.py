"""Which model runs the next turn. A newer one takes its place between turns. Needs no rasa.

A turn keeps the agent with which it began. The new agent shares the connections of the old one, but
nothing that depends on the model, so turns of both may run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from worker.garbage import release_what_was_loaded

log = logging.getLogger(__name__)

LONGEST_PAUSE = 10.0
"""Seconds between two requests while the model server has no model yet."""


class ModelServer(Protocol):
    """The model server of endpoints.yml (`worker.compat.ModelServer`)."""

    url: str
    every: float
    """Seconds between two pulls; 0: pull once."""

    async def pull(self, folder: str) -> bool:
        """Put the model into `folder`, unless it is the one that was pulled before."""


@dataclass
class _Served:
    agent: Any
    running: int = 0


class Models:
    """Holds the agent that runs the next turn."""

    def __init__(self, agent: Any, close: Callable[[Any], Awaitable[None]]) -> None:
        """`close` releases what an agent holds once it has run its last turn."""
        self._served = _Served(agent)
        self._close = close
        self._closing: set[asyncio.Future[None]] = set()

    @property
    def agent(self) -> Any:
        """The agent that runs the next turn."""
        return self._served.agent

    @contextmanager
    def turn(self) -> Iterator[Any]:
        """Return the agent for one turn, from its beginning to its end."""
        served = self._served
        served.running += 1
        try:
            yield served.agent
        finally:
            served.running -= 1
            self._retire(served)

    def serve(self, agent: Any) -> None:
        """Let another agent run all turns that begin from now on."""
        before, self._served = self._served, _Served(agent)
        release_what_was_loaded()  # else the first model would stay in memory
        self._retire(before)

    def _retire(self, served: _Served) -> None:
        if served.running or served is self._served:
            return
        closing = asyncio.ensure_future(self._close(served.agent))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def first(server: ModelServer, folder: str) -> None:
    """Pull the first model, however long the model server has none."""
    pause = min(server.every or LONGEST_PAUSE, LONGEST_PAUSE)
    is_logged = False
    while not await _pulled(server, folder):
        if not is_logged:
            log.warning("the model server has no model yet: asking again every %g s", pause)
            is_logged = True
        await asyncio.sleep(pause)


async def follow(
    models: Models, server: ModelServer, load: Callable[[Any, str], Awaitable[Any]]
) -> None:
    """Pull newer models until cancelled. `load` returns the successor of an agent."""
    while server.every:
        await asyncio.sleep(server.every)
        with tempfile.TemporaryDirectory() as folder:
            if not await _pulled(server, folder):
                continue
            try:
                agent = await load(models.agent, folder)
            except Exception as error:
                log.error("a new model cannot be loaded: %s", type(error).__name__)
                log.debug("because of", exc_info=error)
                continue
        models.serve(agent)
        log.info("assistant %s runs the turns that begin from now on", agent.model_id)


async def _pulled(server: ModelServer, folder: str) -> bool:
    try:
        return await server.pull(folder)
    except Exception as error:
        log.warning("the model server did not answer: %s", type(error).__name__)
        return False
