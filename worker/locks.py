"""The lock that takes the place of Rasa's lock store in a worker. Needs no rasa.

Lanes already run one turn of a conversation at a time, across all workers. Rasa's own lock adds a
way to fail: the ticket of a killed worker stays in Redis until it expires, a ticket expires under a
long turn, and who waits for one looks once a second.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future, InvalidStateError
from contextlib import asynccontextmanager, suppress
from typing import Any


class ConversationLocks:
    """Has the `lock` of rasa.core.lock_store.LockStore, within this process.

    It keeps a turn apart from what Rasa starts on its own: reminders, session timers, and
    rasa-pro's privacy jobs, which run on the event loop of another thread. First come, first
    served.
    """

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._lines: dict[str, deque[Future[None]]] = {}

    @asynccontextmanager
    async def lock(self, conversation_id: str, *_: Any, **__: Any) -> AsyncIterator[None]:
        """Hold the conversation. Ignores Rasa's lifetime and waiting time: nothing expires."""
        place: Future[None] = Future()
        with self._guard:
            line = self._lines.setdefault(conversation_id, deque())
            line.append(place)
            self._call_first(line)
        try:
            if not place.done():
                await asyncio.wrap_future(place)
            yield
        finally:
            with self._guard:
                line.remove(place)
                self._call_first(line)
                if not line:
                    del self._lines[conversation_id]

    @staticmethod
    def _call_first(line: deque[Future[None]]) -> None:
        # It may be called already, or cancelled and about to leave the line.
        with suppress(InvalidStateError, IndexError):
            line[0].set_result(None)
