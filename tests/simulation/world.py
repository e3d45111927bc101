"""Runs one schedule: wires processes, network and broker up, and lets a plan's faults happen."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

from bridge.broker import connection, handover, health as broker_health, links, pace, publisher
from bridge.broker.counters import ADDED, TAKEN_BACK
from bridge.broker.pace import HEARTBEAT as PACERS_HEARTBEAT
from bridge.broker.topology import Topology, partition_of
from bridge.broker.url import each
from bridge.delivery import dispatcher, grants
from bridge.delivery.pacer import RESUME
from bridge.messages import Reply
from bridge.processing import ahead, throttle
from bridge.processing.processor import Processor
from bridge.runtime import health
from tests.simulation.broker import Broker
from tests.simulation.calls import Calls
from tests.simulation.client import open_any
from tests.simulation.ledger import ENDS, PACED, Ledger, Violated
from tests.simulation.loop import Process, ProcessEnded, Stuck, Universe, dispose
from tests.simulation.network import Network, Wire
from tests.simulation.node import CHANNEL, TIMEOUT, Node, running
from tests.simulation.plan import FAULT_TIME, Fault, Plan, Script
from tests.simulation.trackers import Trackers

LONGEST_END = 120.0
"""Seconds until every process must have stopped."""
STRUCK = {"alarm": "broker", "restart": "broker", "outage": "service", "errors": "service"}
"""What a fault strikes if it is no process, for the trace."""


class World:
    """One schedule."""

    def __init__(self, plan: Plan, *, with_logs: bool = False) -> None:
        """`with_logs` puts the bridge's log lines into the trace."""
        self.plan = plan
        self.with_logs = with_logs
        self.universe = Universe(plan.seed)
        self.universe.step_time = plan.step_time
        self.universe.holding_back = plan.holding_back
        partitions = plan.partitions
        self.topology = Topology("model", partitions, partitions, (CHANNEL,))
        self.ledger = Ledger(plan, self.universe, self.topology)
        self.broker = Broker(self.topology, self.ledger, after=self.universe.after)
        self.ledger.charges = self._charges
        self.ledger.records = self._records
        self.ledger.is_held_up = self._is_held_up
        frames = replace(plan.frames)  # `_calm` changes them, and a plan may run more than once
        self.network = Network(self.universe, self.broker, frames)
        wrong = partial(self.ledger.violate, PACED)
        self._calls = (
            Calls(plan.pace, self.universe, plan.seed, wrong, self._alone) if plan.pace else None
        )
        self.attempts: Counter[str] = Counter()
        self.trackers = Trackers()
        self.all_sent = False
        self.service_is_down_until = 0.0
        self.service_fails_until = 0.0
        self.nodes: list[Node] = []
        """Every process that was ever started; the first one is the webhook."""
        self._is_ending = False
        self._patient_from = self.universe.now + 100.0

    def run(self) -> Violated | None:
        """Run the schedule; return the first violation."""
        with _controlled(self):
            try:
                self._play()
                if self.ledger.violation is None:
                    self._finish()
            except Stuck:
                self.ledger.violate(ENDS, self._left())
            finally:
                dispose(self.universe)
            for error in self.universe.errors:
                self.ledger.violate(ENDS, f"nothing handles {error!r}")
        return self.ledger.violation

    def _play(self) -> None:
        self._start("webhook")
        for number in range(self.plan.workers):
            self._start(f"worker{number}")
        for fault in self.plan.faults:
            self.universe.after(fault.at, partial(self._strike, fault))
        self.universe.after(FAULT_TIME + 5, self._calm)
        self.universe.run(self._is_settled, self.plan.within)

    def _finish(self) -> None:
        """Check that all is settled, and stop every process."""
        self.ledger.check_end(self.broker.queues)
        self.universe.run(self._is_idle, LONGEST_END)
        self._is_ending = True
        for node in self.nodes:
            node.process.call_soon(node.stop)
        self.universe.run(lambda: not self.universe.processes, LONGEST_END)

    def _is_settled(self) -> bool:
        return (self.all_sent and not self.ledger.open) or self.ledger.violation is not None

    def _is_idle(self) -> bool:
        return not any(node.left() for node in self.nodes)

    def _start(self, name: str) -> Node:
        node = Node(self, name)
        self.nodes.append(node)
        self.ledger.note(name, "starts")
        main = node.feed() if name == "webhook" else node.main()
        node.process.create_task(main)
        if name != "webhook":
            node.process.on_death.append(lambda: self._died(name))
        return node

    def _died(self, name: str) -> None:
        """Have a process restarted under another name, as a supervisor does."""
        base, _, number = name.partition("-")
        if not self._is_ending:
            again = f"{base}-{int(number or 0) + 1}"
            self.universe.after(
                0.5 + self.universe.random.random(), lambda: self._start_again(again)
            )

    def _start_again(self, name: str) -> None:
        if not self._is_ending:
            self._start(name)

    def calls_arrive(self, process: Process, part: Reply) -> None:
        """Count a call, once it reaches the service."""
        if self._calls is not None:
            partition = partition_of(part.recipient_id, self.topology.reply_partitions)
            queue = self.topology.reply_queues(CHANNEL)[partition].name
            channel, since = self.ledger.latest_channel(process.name, part.id, queue)
            self._calls.make(channel, part.recipient_id, since)

    def _alone(self, seconds: float) -> int:
        """Return how many processes there are, if there was an alarm within so many seconds.

        Or until shortly before: a process uses its share until it notices the end, and a call is
        under way for a moment.
        """
        way = self.plan.pace.way if self.plan.pace else 0.0
        return self.plan.workers if self.network.had_alarm(seconds + RESUME + way) else 0

    def is_patient(self) -> bool:
        """Whether the service accepts what it has refused before.

        If all calls fail, the breaker holds them for as long as that lasts.
        """
        return self.universe.now > self._patient_from

    def _calm(self) -> None:
        """From now on, nothing goes wrong that a message does not do itself."""
        self.ledger.note("world", "is calm")
        faults = self.network.faults
        faults.lost_confirm = faults.lost_publish = faults.late_confirm = faults.refused = 0.0

    def _charges(self, script: Script) -> int:
        """Return how many attempts at a message are counted against it."""
        name = self.topology.attempts_counter(self._key(script))
        added, back = (len(self.broker.queues.get(name + of, ())) for of in (ADDED, TAKEN_BACK))
        return added - back

    def _records(self, process: str, script: Script) -> bool:
        """Return whether a process is still to record that its attempt at a message ended."""
        processor = self._processor(process)
        return processor is not None and self._key(script) in processor.quarantine._recording

    def _processor(self, process: str) -> Processor[Any] | None:
        return next(node.processor for node in self.nodes if node.process.name == process)

    def _key(self, script: Script) -> str:
        return "\0".join((self.plan.flow, CHANNEL, script.conversation, script.id))

    def _is_held_up(self, process: str, script: Script, started: Script) -> bool:
        """Return whether a message that a process was given is on its way back to its queue, or
        behind one that is handled, but not settled: its conversation has an overflow queue. Then
        none of its conversation starts before it."""
        processor = self._processor(process)
        if processor is None or processor.generation is None:
            return False
        generation: Any = processor.generation
        lane, leaving = script.conversation, generation.overflows.spilling.leaving
        is_held = any(message.id == script.id for _, message in generation._held.values())
        if not is_held or lane in leaving:
            return True
        if started.conversation == script.conversation:
            return False
        open_lane = generation._lanes.get(lane)
        return bool(open_lane and open_lane.head and open_lane.head[1].id in self.ledger.handled)

    def _strike(self, fault: Fault) -> None:
        """Let a fault happen, at once or some steps later."""
        alive = [node for node in self.nodes if node.process.is_alive]
        workers = [node for node in alive if node.process.name != "webhook"]
        if fault.kind in ("kill", "stop", "cancel", "channel", "recall"):
            alive = workers
        if fault.kind in ("handover", "unlink", "stall"):
            alive = [node for node in workers if node.is_pacer]
        if not alive:
            return
        node = alive[fault.target % len(alive)]
        who = (
            "broker"
            if fault.kind in ("alarm", "restart", "outage", "errors")
            else node.process.name
        )

        def strike() -> None:
            if node.process.is_alive:
                self.ledger.note(who, f"FAULT: {fault.kind}, {fault.seconds:.1f} s")
                getattr(self, f"_{fault.kind}")(node, fault)

        if fault.steps:
            node.process.after_steps(fault.steps, strike)
        else:
            strike()

    def _wires(self, node: Node) -> list[Wire]:
        return [wire for wire in self.network.connections if wire.process is node.process]

    def _wire(self, node: Node, fault: Fault) -> Wire | None:
        wires = self._wires(node)
        return wires[fault.target % len(wires)] if wires else None

    def _cut(self, node: Node, fault: Fault) -> None:
        """A connection breaks; broker and client notice it independently."""
        if wire := self._wire(node, fault):
            delay = self.universe.random.random
            wire.cut(self.universe.now + delay() * fault.seconds, delay() * fault.seconds)

    def _silence(self, node: Node, fault: Fault) -> None:
        """The network swallows every frame; both sides miss each other's heartbeats."""
        name, universe = node.process.name, self.universe
        for wire in self._wires(node):
            wire.cut(universe.now + wire.heartbeat * (1.5 + 1.5 * universe.random.random()), None)
        self.network.unreachable.add(name)
        universe.after(fault.seconds, lambda: self.network.unreachable.discard(name))

    def _channel(self, node: Node, fault: Fault) -> None:
        """The broker closes a connection's channels and tells the client."""
        if wire := self._wire(node, fault):
            wire.receive(wire._told)
            wire.drop()

    def _recall(self, node: Node, fault: Fault) -> None:
        """The same happens to the connection with the most messages."""

        def held(wire: Wire) -> int:
            return sum(len(channel.unacked) for channel in wire.server_channels)

        if wires := self._wires(node):
            wire = max(wires, key=held)
            wire.receive(wire._told)
            wire.drop()

    def _kill(self, node: Node, fault: Fault) -> None:
        node.process.is_victim = True
        node.process.kill()

    def _handover(self, node: Node, fault: Fault) -> None:
        """The pacer dies, and another process becomes the pacer."""
        self._kill(node, fault)

    def _stall(self, node: Node, fault: Fault) -> None:
        """The pacer stands still, and another process becomes the pacer, or none does."""
        self._freeze(node, fault)

    def _unlink(self, node: Node, fault: Fault) -> None:
        """The pacer loses the link on which it is asked; another process becomes the pacer.

        The broker notices at once, and the pacer after `seconds`.
        """
        for wire in self._wires(node):
            if wire.heartbeat == PACERS_HEARTBEAT:
                wire.cut(self.universe.now, fault.seconds)

    def _stop(self, node: Node, fault: Fault) -> None:
        node.stop()

    def _cancel(self, node: Node, fault: Fault) -> None:
        """Cancel a link wherever it waits; a process without one is stopped, too."""
        if node.links:
            node.links[fault.target % len(node.links)].cancel()
        node.stop()

    def _freeze(self, node: Node, fault: Fault) -> None:
        """SIGSTOP; the broker drops connections that are silent for two heartbeats and more."""
        beats = 2 + self.universe.random.random()
        for wire in self._wires(node):
            patience = wire.heartbeat * beats
            if fault.seconds > patience:
                self.universe.after(patience, wire.drop)
                noticed = fault.seconds + self.universe.random.random()
                self.universe.after(noticed, wire.tell)
                self.universe.after(fault.seconds, partial(self._wake, wire, fault.seconds))
        node.process.freeze(fault.seconds)

    def _wake(self, wire: Wire, seconds: float) -> None:
        """After such a long pause, a look at the clock tells that the connection is lost."""
        if seconds > 2.5 * wire.heartbeat and wire.has_ended:
            for channel in wire.server_channels:
                channel.is_known_closed = True

    def _alarm(self, node: Node, fault: Fault) -> None:
        self.network.start_alarm()
        self.universe.after(fault.seconds, self.network.end_alarm)

    def _restart(self, node: Node, fault: Fault) -> None:
        self.network.stop_broker()
        self.universe.after(fault.seconds, self.network.start_broker)

    def _outage(self, node: Node, fault: Fault) -> None:
        self.service_is_down_until = self.universe.now + fault.seconds

    def _errors(self, node: Node, fault: Fault) -> None:
        """The service answers each call with a temporary error."""
        self.service_fails_until = self.universe.now + fault.seconds

    def _left(self) -> str:
        """Return what did not end, for a message."""
        queues = {queue.name: len(queue) for queue in self.broker.queues.values() if len(queue)}
        alive = [process.name for process in self.universe.processes]
        what = f"{self.ledger.open} messages are not settled ({queues}), alive: {alive}"
        kept = {node.process.name: sorted(left) for node in self.nodes if (left := node.left())}
        return f"{what}, left: {kept}" if kept else what


class _Logged(logging.Handler):
    """Writes the bridge's log lines into the trace."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.INFO)
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        self._ledger.note(running().name, f"({record.getMessage()})")


@contextlib.contextmanager
def _logging(ledger: Ledger | None) -> Iterator[None]:
    """Log into a ledger, or nowhere."""
    disabled = logging.root.manager.disable
    if ledger is None:
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
        return
    handler = _Logged(ledger)
    for name in ("bridge", "worker"):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield
    finally:
        for name in ("bridge", "worker"):
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(logging.NOTSET)


def _tick(plan: Plan) -> float:
    """Return the seconds between two looks at a connection: as few as the schedule needs."""
    if plan.pace is None:
        return 5.0
    return 0.25 if any(fault.kind == "alarm" for fault in plan.faults) else 1.0


@contextlib.contextmanager
def _controlled(world: World) -> Iterator[None]:
    """Take clocks, chance, the network and the end of processes from the real world."""

    def end(_: int) -> None:
        process = running()
        world.ledger.note(process.name, "gives up")
        process.kill()
        raise ProcessEnded

    async def declared(*_: object, **__: object) -> bool:
        return True

    def cpu_time() -> float:
        return running().cpu_time

    clock, names = world.universe.clock, itertools.count()
    before = random.getstate()
    random.seed(world.plan.seed)
    with contextlib.ExitStack() as stack:
        for target, name, value in (
            (time, "time", clock),
            (time, "monotonic", clock),
            (time, "perf_counter", clock),
            (broker_health, "now", clock),
            (broker_health, "TICK", _tick(world.plan)),
            (time, "clock_gettime", lambda _: running().clock()),
            (throttle, "time", SimpleNamespace(perf_counter=clock, thread_time=cpu_time)),
            (pace, "CHECK_INTERVAL", 10.0),
            (pace, "secrets", SimpleNamespace(token_hex=lambda _: str(random.random()))),
            (ahead, "secrets", SimpleNamespace(token_hex=lambda _: str(random.random()))),
            (handover, "secrets", SimpleNamespace(token_hex=lambda _: str(next(names)))),
            (grants, "Random", lambda: random),
            (pace, "ensure_topology", declared),
            (links, "CHECK_INTERVAL", 10.0),
            (health, "process", health.Health(end)),
            (connection, "open_any", lambda urls, _: open_any(world.network, *each(urls))),
            (links, "ensure_topology", declared),
            (publisher, "ensure_topology", declared),
            (dispatcher, "CALL_TIMEOUT", TIMEOUT),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        stack.callback(random.setstate, before)
        if gc.isenabled():
            # It would close the coroutines of dead processes at a moment that no seed decides.
            gc.disable()
            stack.callback(gc.enable)
        stack.enter_context(_logging(world.ledger if world.with_logs else None))
        yield
