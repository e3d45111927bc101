"""How the messages of one flow are processed; `generation.py` settles each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic

from bridge.broker.overflow import Window
from bridge.broker.queues import Queues
from bridge.messages import RecentIds
from bridge.processing.admission import Slots
from bridge.processing.budget import RetryBudgets
from bridge.processing.gate import Gate
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.outcomes import M
from bridge.processing.pace import Pace
from bridge.processing.pause import PausableGate
from bridge.processing.quarantine import Quarantine
from bridge.runtime.deadline import CLEAN_UP
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import metrics
from bridge.telemetry.reports import Consuming


class Processor(Generic[M]):
    """Shared by all generations of a flow's consumer."""

    def __init__(
        self,
        kind: type[M],
        handle: Callable[[M], Awaitable[None]],
        queues: Queues,
        *,
        concurrency: int,
        slow: int = 0,
        urgent: int = 0,
        throttled: bool = False,
        timeout: float | None = None,
        clean_up: float = CLEAN_UP,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        pace: Pace[M] | None = None,
        paced: Callable[[], int] = lambda: 0,
        finished: Callable[[M, str | None], Awaitable[None]] | None = None,
        channel: str = "",
        owners: Mapping[str, str] | None = None,
    ) -> None:
        """`handle` runs for at most `concurrency` messages at once, and one at a time per lane.

        Beyond them, `slow` may run that have taken longer than `SLOW_AFTER`, and `urgent` of high
        priority. `throttled` ones start one by one (`admission.Slots`).

        One attempt may take `timeout` seconds (None: any), and cancelled work has `clean_up`
        seconds to end, or the process ends (`runtime.deadline`).

        `paced()` is the number of lanes that wait for a rate limit.

        `finished(message, error)` is awaited once the outcome is certain, before the ack. `error`
        is None after a success or for a repeated id, else the class name of the last error.
        `channel` is given if all messages belong to one channel, and `owners` if a partition has
        several queues (`Topology.owners`).
        """
        self.owners = owners or {}
        self.kind = kind
        self.channel = channel
        self.handle = handle
        self.queues = queues
        self.slots = Slots(concurrency, slow, urgent, throttled=throttled)
        self.timeout = timeout
        self.clean_up = clean_up
        self.policy = policy or RetryPolicy()
        self.budgets = RetryBudgets(self.policy.max_age)
        self.gate = gate if isinstance(gate, PausableGate) else PausableGate(gate)
        self.pace = pace
        self.paced = paced
        self.quarantine = Quarantine(queues, self.slots)
        self.finished = finished
        self.completed = RecentIds()
        self.generation: ProcessorGeneration[M] | None = None
        """The newest one."""
        self.logged = "", 0.0
        """The latest error that was logged in an attempt which succeeded, and when that ended."""
        metrics.slots.labels(kind.flow, channel).set(concurrency)
        metrics.slots_busy.labels(kind.flow, channel).set_function(lambda: self.slots.busy)

    def open(self, window: Window | None = None) -> ProcessorGeneration[M]:
        """Start a generation: the lanes of one AMQP channel; without a `window` none overflows."""
        if self.pace is not None:
            self.pace.opened()
        self.generation = ProcessorGeneration(self, window)
        return self.generation

    def report(self) -> Consuming:
        """Return what is in memory and what is running."""
        why, since, next_at = self.gate.held_back or ("", 0.0, 0.0)
        generation = self.generation
        held = generation.holdings.queues() if generation else {}
        return Consuming(
            self.kind.flow,
            self.channel,
            lanes=self.generation.lanes() if self.generation else 0,
            slots=self.slots.concurrency,
            busy=self.slots.busy,
            paused=self.gate.is_down,
            held=held,
            why=why,
            since=since,
            next_at=next_at,
            stopped=self.gate.is_paused,
            quiet=len(self.generation.gathering.waiting) if self.generation else 0,
            paced=self.paced(),
            retrying=self.generation.attempts.retrying if self.generation else 0,
            failing=self.generation.attempts.failing if self.generation else "",
            turn_error=self.logged[0],
            turn_error_at=self.logged[1],
            overflowed=self.generation.overflows.spilling.overflowed(held)
            if self.generation
            else {},
        )
