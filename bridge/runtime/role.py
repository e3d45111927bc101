"""How a role runs: its links, the signals, and the order in which it stops.

First signal: drain (start nothing new, finish what runs, up to the grace period), then close.
Second signal: exit at once; whatever was not settled comes again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
INSIST = 2.0
"""Seconds after which a link is cancelled once more: aiormq may swallow a cancellation that comes
while a connection is set up."""


class Service(Protocol):
    """Whatever runs beside others until it is cancelled: a link, say."""

    async def run(self) -> None: ...


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def process_name(role: str) -> str:
    """Return a name that no other process has: it decides which partitions this one gets."""
    return f"{role} {socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def on_signals(stop: Callable[[], None], at_once: Callable[[], None] | None = None) -> None:
    """Call `stop` at the first SIGTERM or SIGINT; at the second `at_once`, and exit at once."""
    loop = asyncio.get_running_loop()
    seen = False

    def handle(number: signal.Signals) -> None:
        nonlocal seen
        if seen:
            if at_once:
                at_once()
            os._exit(128 + number)
        seen = True
        stop()

    for number in SIGNALS:
        loop.add_signal_handler(number, handle, number)


async def serve(
    services: Sequence[Service],
    drain: Callable[[], Awaitable[object]],
    start: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run services until a signal comes; then await `drain` and close them in reverse order.

    `start` is awaited once they have begun to connect.

    Raises:
        TopologyError: the broker and the settings disagree.
    """
    stop = asyncio.Event()
    on_signals(stop.set)
    tasks = [asyncio.ensure_future(service.run()) for service in services]
    stopped = asyncio.ensure_future(stop.wait())
    try:
        if start is not None:
            await start()
        await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        log.info("stopping: finishing what runs")
        await drain()
    finally:
        stopped.cancel()
        await close(tasks)
    log.info("stopped")


def watch(
    running: Coroutine[Any, Any, None], on_failure: Callable[[BaseException], None]
) -> asyncio.Task[None]:
    """Run a link as a task of a server that somebody else runs; report what it raises."""

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            on_failure(error)

    task = asyncio.get_running_loop().create_task(running)
    task.add_done_callback(ended)
    return task


async def close(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks one after the other, last first, and wait for each."""
    for task in reversed(tasks):
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=INSIST)
        if not task.cancelled():
            task.exception()  # looked at: the first one to raise has been heard, that is enough
