"""Which message each task works on, so that the watchdog can name what blocks the event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from bridge.messages import InboundMessage, Reply
from bridge.messages.keys import message_key


def _always() -> bool:
    return True


class Work(msgspec.Struct, eq=False):
    """One attempt at a message."""

    name: str = ""
    """Identifies what it works on, if that is not the message alone; see `key`."""
    message: InboundMessage | Reply | None = None
    is_current: Callable[[], bool] = _always
    """Tells whether the message was not returned to its queue meanwhile."""
    counted: bool = False
    """The broker's counter of the message includes this attempt."""
    blocked: bool = False
    """It may have blocked the event loop: it did, or what did so is unknown."""
    members: tuple[str, ...] = ()
    """The keys of the messages of a turn, if it has several; `name` is that of the turn then."""
    known: frozenset[str] = frozenset()
    """The ids of those whose turn was saved before: an attempt that fails is not theirs."""
    sealed: bool = False
    """Past the point of no return: a new message must not interrupt it any more."""
    paced: float | None = None
    """Seconds that it has waited for a rate limit; None: it has none."""
    logged: str = ""
    """The first error that Rasa logged meanwhile, instead of raising it; "" if there was none."""
    status: int = 0
    """Of its latest call: the HTTP status of the latest answer, which hops and spans show,"""
    provider_id: str = ""
    """and the id that the service gave to what it accepted."""

    @property
    def key(self) -> str:
        """Identifies the message, or the turn, among all others."""
        return self.name or ("" if self.message is None else message_key(self.message))

    @property
    def ids(self) -> Mapping[str, object]:
        """The ids of the message, for log lines."""
        return {} if self.message is None else self.message.ids


running: set[Work] = set()
"""All attempts that run now in this process."""

_current: ContextVar[Work | None] = ContextVar("work", default=None)
_tasks: WeakKeyDictionary[asyncio.Task[Any], Work] = WeakKeyDictionary()
"""Before Python 3.12 the context of a task cannot be read, so its work is noted here."""
_CONTEXT_IS_READABLE = sys.version_info >= (3, 12)


class working:
    """Notes that the current task, and every task that it starts, does `work` inside the block."""

    __slots__ = ("_task", "_token", "_work")

    def __init__(self, work: Work) -> None:
        self._work = work

    def __enter__(self) -> None:
        self._token = _current.set(self._work)
        running.add(self._work)
        self._task = None if _CONTEXT_IS_READABLE else asyncio.current_task()
        if self._task is not None:
            _tasks[self._task] = self._work

    def __exit__(self, *error: object) -> None:
        running.discard(self._work)
        _current.reset(self._token)
        if self._task is not None:
            _tasks.pop(self._task, None)


def current() -> Work | None:
    """Return the work of this task."""
    return _current.get()


def is_current() -> bool:
    """Return whether the message of this task is still one of this process."""
    work = _current.get()
    return work is None or work.is_current()


def seal() -> None:
    """Note that the work of this task takes effect now: it must not be interrupted any more."""
    work = _current.get()
    if work is not None:
        work.sealed = True


def note_known(ids: Iterable[str]) -> None:
    """Note that messages of this task's turn were part of one that was saved before."""
    work = _current.get()
    if work is not None:
        work.known = work.known.union(ids)


def paced(seconds: float) -> None:
    """Note that the work of this task has waited for a rate limit, for so many seconds."""
    work = _current.get()
    if work is not None:
        work.paced = (work.paced or 0.0) + seconds


def answered(status: int) -> None:
    """Note the HTTP status of the answer to a request of this task."""
    work = _current.get()
    if work is not None:
        work.status = status


def accepted(provider_id: str) -> None:
    """Note the id that a service gave to what this task sent."""
    work = _current.get()
    if work is not None:
        work.provider_id = provider_id


def note_logged(error: str) -> None:
    """Note an error that is logged, and not raised, in this task. Of several, the first counts:
    those that follow are its consequences."""
    work = _current.get()
    if work is not None:
        work.logged = work.logged or error


def logged() -> str:
    """Return the first error that was logged, and not raised, in the work of this task."""
    work = _current.get()
    return "" if work is None else work.logged


def of(task: asyncio.Task[Any] | None) -> Work | None:
    """Return the work of a task, if it is still running. Safe to call from another thread."""
    if task is None:
        return None
    if sys.version_info >= (3, 12):
        work = task.get_context().get(_current)
    else:
        work = _tasks.get(task)
    return work if work in running else None


def note_started_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Note the work of each new task of a loop, where its context cannot be read."""
    if _CONTEXT_IS_READABLE or loop.get_task_factory() is not None:
        return

    def start(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **options)
        work = _current.get()
        if work is not None:
            _tasks[task] = work
        return task

    loop.set_task_factory(start)
