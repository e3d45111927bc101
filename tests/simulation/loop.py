"""Seeded scheduling: one virtual clock, one event loop per simulated process.

A `Process` is an event loop. Its callbacks run in the order in which they were scheduled, which
asyncio promises and the code may rely on. Everything else is the seed's choice: which process goes
on, how long a callback takes, how long a task is held back. So every schedule is one that could
happen, and a violation is never the simulator's invention.

Hashes of tasks and futures are numbers instead of addresses. So a set of them has the same order in
every run, and the seed alone decides what happens.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import itertools
import sys
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import Any
from unittest import mock

BURST = 6
"""Callbacks at most that one process runs before another one may go on."""

Callback = Callable[..., object]


class ProcessEnded(BaseException):
    """Unwinds the current callback of a process that has just died."""


class Stuck(Exception):
    """Nothing can happen any more, or not within the time that it may take."""


class _Numbered(asyncio.Future[Any]):
    number = 0

    def __hash__(self) -> int:
        if not self.number:
            process = self.get_loop()
            assert isinstance(process, Process)
            self.number = process.universe.number()
        return self.number


class _Task(asyncio.Task[Any]):
    number = 0
    __hash__ = _Numbered.__hash__


class _Handle(asyncio.Handle):
    """asyncio's, without its costs for debugging."""

    __slots__ = ()

    def __init__(
        self, callback: Callback, args: tuple[Any, ...], loop: Process, context: Context | None
    ) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled, self._repr = False, None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]


class _TimerHandle(asyncio.TimerHandle):
    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callback,
        args: tuple[Any, ...],
        loop: Process,
        context: Context | None,
    ) -> None:
        _Handle.__init__(self, callback, args, loop, context)  # type: ignore[arg-type]
        self._when, self._scheduled = when, False

    cancel = _Handle.cancel


class Universe:
    """The clock, the processes, and the order in which things happen. All times are seconds."""

    def __init__(self, seed: int) -> None:
        self.random, self.now = Random(seed), 1_000_000.0
        self.processes: list[Process] = []
        """Those that are alive."""
        self.ever: list[Process] = []
        self.step_time = 0.0
        """Seconds that one burst of callbacks takes at most."""
        self.holding_back = 0.0
        """Probability that a task waits for the callbacks behind it once more."""
        self.errors: list[BaseException] = []
        """Exceptions that nothing in a process handled."""
        self._timers: list[tuple[float, int, Process | None, Any]] = []
        """(time, number, process or None, handle or function)"""
        self.number: Callable[[], int] = itertools.count(1).__next__
        """Returns one number after the other."""

    def clock(self) -> float:
        return self.now

    def note_unnoticed(self, process: Process, task: asyncio.Task[Any]) -> None:
        """Note an exception that nothing has looked at in a process that ended in peace.

        A connection that closes in the background may have failed just before the exit.
        """
        if process.ended_in_peace and task._log_traceback:
            error = task.exception()
            if error is not None and not isinstance(error, (ProcessEnded, ConnectionError)):
                self.errors.append(error)

    def at(self, when: float, callback: Callback) -> None:
        """Call something that belongs to no process, such as the network or the broker."""
        heapq.heappush(self._timers, (when, self.number(), None, callback))

    def after(self, delay: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (self.now + delay, self.number(), None, callback))

    def add_timer(self, when: float, process: Process, handle: asyncio.TimerHandle) -> None:
        heapq.heappush(self._timers, (when, self.number(), process, handle))

    def run(self, until: Callable[[], bool], limit: float) -> None:
        """Let things happen until `until()`.

        Raises:
            Stuck: not within `limit` seconds of virtual time.
        """
        end = self.now + limit
        timers, random = self._timers, self.random.random
        while not until():
            now = self.now
            while timers and timers[0][0] <= now:
                self._fire()
            runnable = [p for p in self.processes if p.ready and p.frozen_until <= now]
            if runnable:
                process = runnable[0]
                if len(runnable) > 1:
                    process = runnable[int(random() * len(runnable))]
                process.run_burst(1 + int(random() * BURST))
                if self.step_time:
                    taken = self.step_time * random() ** 4
                    self.now += taken
                    process.cpu_time += taken
            elif timers and timers[0][0] <= end:
                self.now = timers[0][0]
            else:
                raise Stuck
            if self.now > end:
                raise Stuck

    def _fire(self) -> None:
        _, _, process, what = heapq.heappop(self._timers)
        if process is None:
            what()
        elif process.is_alive:
            process.ready.append(what)


class Process(asyncio.AbstractEventLoop):
    """The event loop of one process, which can die, freeze and be blocked."""

    def __init__(self, universe: Universe, name: str) -> None:
        self.universe = universe
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.is_alive = True
        self.ended_in_peace = False
        self.is_victim = False
        """Whether a fault of the plan killed it."""
        self.frozen_until = 0.0
        self.cpu_time = 0.0
        """Seconds that its callbacks took."""
        self.on_death: list[Callback] = []
        """Called at the moment of death: what the kernel does, such as closing sockets."""
        self.tasks: list[tuple[asyncio.Task[Any], Context]] = []
        self._skew = Random(name).random() * 1e5
        self._triggers: list[tuple[int, int, Callback]] = []
        self._steps = 0
        universe.processes.append(self)
        universe.ever.append(self)

    def after_steps(self, steps: int, callback: Callback) -> None:
        """Call `callback` between two callbacks, once so many have run."""
        number = self.universe.number()
        heapq.heappush(self._triggers, (self._steps + steps, number, callback))

    def clock(self) -> float:
        """Return the time of its machine: seconds since that was started."""
        return self.universe.now + self._skew

    def run_burst(self, most: int) -> None:
        """Run up to `most` callbacks, or until it dies or freezes."""
        asyncio._set_running_loop(self)
        ready, triggers = self.ready, self._triggers
        universe = self.universe
        now, random, hold_back = universe.now, universe.random.random, universe.holding_back
        try:
            for _ in range(most):
                if not ready or self.frozen_until > now:
                    break
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                if hold_back and ready and random() < hold_back and _may_wait(handle):
                    ready.append(handle)
                    continue
                self._steps += 1
                try:
                    handle._context.run(handle._callback, *handle._args)  # type: ignore
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"exception": error})
                while triggers and triggers[0][0] <= self._steps:
                    heapq.heappop(triggers)[2]()
        finally:
            asyncio._set_running_loop(None)

    def freeze(self, seconds: float) -> None:
        """Stand still, as after SIGSTOP or with a blocked event loop."""
        self.frozen_until = max(self.frozen_until, self.universe.now + seconds)
        self.universe.after(seconds, lambda: None)

    def kill(self) -> None:
        """Die at once: no clean-up, no further step."""
        if self.is_alive:
            self.is_alive = False
            self.ready.clear()
            self.universe.processes.remove(self)
            for callback in self.on_death:
                callback()

    # What asyncio asks of an event loop.

    def time(self) -> float:
        return self.universe.now

    def is_running(self) -> bool:
        return True

    get_debug = staticmethod(bool)
    """False; each new future asks."""

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        if self.is_alive:
            self.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        when = self.universe.now + delay
        handle = _TimerHandle(when, callback, args, self, context)
        if self.is_alive:
            self.universe.add_timer(when, self, handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = _TimerHandle(when, callback, args, self, context)
        if self.is_alive:
            self.universe.add_timer(when, self, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return _Numbered(loop=self)

    def create_task(  # type: ignore[override]
        self, coroutine: Coroutine[Any, Any, Any], *, context: Any = None, **options: Any
    ) -> asyncio.Task[Any]:
        if sys.version_info >= (3, 11):
            options["context"] = context
        task = _Task(coroutine, loop=self, **options)
        # Its first step knows its context; the task tells it only from Python 3.12 on.
        steps = self.ready if self.is_alive else None
        self.tasks.append((task, steps[-1]._context if steps else copy_context()))  # type: ignore
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.is_alive and not isinstance(error, ProcessEnded):
            self.universe.errors.append(error or RuntimeError(str(context)))


def _may_wait(handle: asyncio.Handle) -> bool:
    """Whether a callback is the step of a task that does not have to keep its place."""
    task: Any = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    if not isinstance(task, _Task) or task.get_name().startswith(IN_ORDER):
        return False
    # asyncio starts tasks in the order in which they were created.
    steps: Any = task.get_coro()
    if inspect.isgenerator(steps):  # asyncio makes one of other awaitables until Python 3.11
        return inspect.getgeneratorstate(steps) != inspect.GEN_CREATED
    return inspect.getcoroutinestate(steps) != inspect.CORO_CREATED


IN_ORDER = "in order"
"""Tasks whose names begin with it keep their places."""


def dispose(universe: Universe) -> None:
    """Let go of everything that never ended, quietly."""
    with mock.patch.object(sys, "unraisablehook"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coroutines that were never awaited
        for process in universe.ever:
            process.is_alive = False
            process.ready.clear()
            asyncio._set_running_loop(process)
            for task, context in process.tasks:
                if task.done():
                    universe.note_unnoticed(process, task)
                else:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    context.run(_close, task.get_coro())
            asyncio._set_running_loop(None)
            process.tasks.clear()
        universe.ever.clear()


def _close(coroutine: Any) -> None:
    """Close a coroutine, even if its clean-up awaits something."""
    if _is_new(coroutine):
        for argument in coroutine.cr_frame.f_locals.values():
            if inspect.iscoroutine(argument):
                argument.close()
    for _ in range(100):
        try:
            coroutine.close()
            return
        except BaseException:  # whatever a dead process raises
            continue


def _is_new(coroutine: Any) -> bool:
    """Whether it was never started. What it was given was not, then, either."""
    return inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
