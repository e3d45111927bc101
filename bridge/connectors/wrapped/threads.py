"""Code of others that blocks, kept off the event loop; which code that is."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def outside_loop(call: Callable[[], T]) -> T:
    """Return what a call returns, made where no event loop runs: it may call `asyncio.run`."""
    return _started(call).result()


async def in_thread(call: Callable[[], T]) -> T:
    """As `outside_loop`, while this loop goes on.

    Each call has a daemon thread of its own: one that hangs holds up no other, and no exit.
    """
    return await asyncio.wrap_future(_started(call))


def _started(call: Callable[[], T]) -> Future[T]:
    done: Future[T] = Future()
    # From now on whoever waits cannot cancel it: the call is made, whatever becomes of the wait.
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def blocks(cls: type) -> bool:
    """Whether the `send_…` of a class await nothing but coroutines of that class that do the same.

    Then whatever they do for long they do with a client that blocks, and they need no loop of
    their own: they can run in a thread. A class whose source is not there is taken to await.
    """
    if cls not in _known:
        _known[cls] = _awaits_only_itself(cls)
    return _known[cls]


_known: dict[type, bool] = {}


def _awaits_only_itself(cls: type) -> bool:
    seen: set[str] = set()
    found = {name for name in dir(cls) if name.startswith("send_")}
    found = {name for name in found if inspect.iscoroutinefunction(getattr(cls, name))}
    while found:
        name = found.pop()
        seen.add(name)
        # Every class that has it, since one may call the other's by super().
        functions = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
        if not functions:
            return False
        for function in functions:
            awaited = _awaited_by(function)
            if awaited is None:
                return False
            found |= awaited - seen
    return True


def _awaited_by(function: Any) -> set[str] | None:
    """Return the methods of its own object that a coroutine awaits; None if it awaits others."""
    if not inspect.iscoroutinefunction(function):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return None
    if any(isinstance(node, (ast.AsyncFor, ast.AsyncWith)) for node in ast.walk(tree)):
        return None
    names = [_own_method(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)]
    return None if None in names else {name for name in names if name}


def _own_method(awaited: ast.expr) -> str | None:
    """Return `method` of `self.method(…)` and `super().method(…)`; None for anything else."""
    if not (isinstance(awaited, ast.Call) and isinstance(awaited.func, ast.Attribute)):
        return None
    owner = ast.unparse(awaited.func.value)
    return awaited.func.attr if owner == "self" or owner.startswith("super(") else None
