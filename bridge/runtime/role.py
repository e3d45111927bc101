"""Runs a role: its services, the signals, and the order of its shutdown.

First signal: not ready any more; drain (start nothing new, finish running work within the grace
period), then close. Second signal: exit at once; unsettled messages are redelivered.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from bridge.runtime import health, readiness
from bridge.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

T = TypeVar("T")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
INSIST = 2.0
"""Seconds after which a link is cancelled again: aiormq may swallow a cancellation while it sets up
a connection."""
CLOSE_TIMEOUT = 60.0
"""Seconds until everything must be closed; then the process ends."""


class Service(Protocol):
    """Something that runs until it is cancelled, such as a link."""

    async def run(self) -> None:
        """Run until cancelled."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, on uvloop if it is installed.

    Tasks and threads that it leaves have a few seconds to end; asyncio itself waits without a
    limit.
    """
    ending: list[threading.Timer] = []

    async def limited() -> T:
        try:
            return await main
        finally:
            ending.append(health.process.must_end())

    try:
        try:
            import uvloop
        except ImportError:
            return asyncio.run(limited())
        return uvloop.run(limited())
    finally:
        for timer in ending:
            timer.cancel()


def process_name(role: str) -> str:
    """Return a unique name; it decides which partitions the process gets."""
    return f"{role} {socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def on_signals(stop: Callable[[], None], at_once: Callable[[], None] | None = None) -> None:
    """Call `stop` at the first SIGTERM or SIGINT; at the second, call `at_once` and exit."""
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
    *,
    problem: health.Problem,
    watchdog: Watchdog | None = None,
) -> None:
    """Run services until a signal; then await `drain` and close them in reverse order.

    `start` is awaited once the services have begun to connect. `problem` answers probes for
    readiness. `watchdog` watches the event loop; None means one with the default limits.

    Raises:
        TopologyError: the broker and the settings disagree.
    """
    stop = asyncio.Event()
    on_signals(stop.set)
    watchdog = watchdog or Watchdog()
    watchdog.start()
    health.process.check(problem)
    tasks = [asyncio.ensure_future(service.run()) for service in services]
    stopped = asyncio.ensure_future(stop.wait())
    announcing: asyncio.Future[None] | None = None
    try:
        if start is not None:
            await start()
        # The garbage collector need not look again and again at what the start has made.
        gc.freeze()
        announcing = asyncio.ensure_future(readiness.announce(health.process.problem))
        await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        readiness.tell(readiness.STOPPING)
        log.info("stopping: finishing running work")
        health.process.overdue(stop, "stopping")
        await drain()
    finally:
        stopped.cancel()
        if announcing is not None:
            announcing.cancel()
        await close(tasks)
        watchdog.stop()
    log.info("stopped")


def watch(
    running: Coroutine[Any, Any, None], on_failure: Callable[[BaseException], None]
) -> asyncio.Task[None]:
    """Run a service as a task inside another program; report what it raises to `on_failure`."""

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            on_failure(error)

    task = asyncio.get_running_loop().create_task(running)
    task.add_done_callback(ended)
    return task


async def close(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks one by one, last first, and wait for each; end the process if one never ends."""
    loop = asyncio.get_running_loop()
    why = f"its connections did not close within {CLOSE_TIMEOUT:g} s"
    limit = loop.call_later(CLOSE_TIMEOUT, health.process.give_up, why)
    for task in reversed(tasks):
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=INSIST)
        if not task.cancelled():
            task.exception()  # retrieved; the first error has already been reported
    limit.cancel()
