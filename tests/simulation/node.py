"""The simulated processes: the real core of a worker, of `deliver` and of a webhook."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from bridge.broker.links import Consumer, Link
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import consumer_priority
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.errors import (
    BrokerError,
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from bridge.messages import InboundMessage, OutputChannel, Reply
from bridge.processing.processor import Processor
from bridge.runtime import work
from bridge.runtime.retry import RetryPolicy
from bridge.runtime.role import close
from tests.simulation.ledger import UNBROKEN
from tests.simulation.leftovers import leftovers
from tests.simulation.loop import Process, ProcessEnded
from tests.simulation.network import HEARTBEAT, URL
from tests.simulation.paced import recipients, share_limit
from tests.simulation.plan import Plan, Script
from tests.simulation.trackers import Processor as RasaProcessor
from worker import duplicates
from worker.handler import Turns
from worker.output_channel import QueueOutput

if TYPE_CHECKING:
    from bridge.delivery.pacing import ChannelPace
    from tests.simulation.world import World

CHANNEL = "callback"
TIMEOUT = 20.0
"""Seconds of one attempt."""
CLEAN_UP = 6.0
"""Seconds that cancelled work may take."""
GRACE = 4.0
CONFIRM_TIMEOUT = 2.0
POLICY = RetryPolicy(base=0.2, cap=8.0, max_attempts=60, max_age=80.0)
"""As by default, a message is retried for longer than `delivery.evidence.LONG_SILENCE`."""
SILENCE = 2.5 * HEARTBEAT
"""Seconds after which the watchdog ends a process whose loop is blocked."""

Send = Callable[[], Awaitable[None]]


def running() -> Process:
    """Return the process that runs now."""
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    return process


class Node:
    """One process with a publisher, which may consume, too."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.process = Process(world.universe, name)  # type: ignore[abstract]
        self.process.on_death.append(lambda: world.ledger.has_ended(self.process))
        self.stopping = asyncio.Event()
        self.stopped_at = float("inf")
        """When it was asked to stop."""
        self.links: list[asyncio.Task[None]] = []
        """Publisher and consumer, as far as they run."""
        self.further: list[Link] = []
        self.pace: ChannelPace | None = None
        """Links beside publisher and consumer."""
        self.dispatcher: Dispatcher | None = None
        self.processor: Processor[Any] | None = None
        self._rasa = RasaProcessor(world.trackers)
        self.publisher = Publisher(URL, name, world.topology, CONFIRM_TIMEOUT)
        self.queues = Queues(self.publisher, world.topology)

    @property
    def is_pacer(self) -> bool:
        """Whether the other processes get their moments from this one."""
        return self.pace is not None and self.pace._pacer._is_active

    def stop(self) -> None:
        self.world.ledger.note(self.process.name, "is asked to stop")
        self.stopped_at = min(self.stopped_at, self.world.universe.now)
        self.stopping.set()

    async def main(self) -> None:
        """Run until asked to stop, as `runtime.role.serve` does."""
        consumer = self._consumer()
        links = (self.publisher, consumer, *self.further)
        self.links = [asyncio.ensure_future(link.run()) for link in links]
        await self.stopping.wait()
        if self.dispatcher is not None:
            self.dispatcher.drain()
        await consumer.drain(GRACE)
        self.world.ledger.note(self.process.name, "has drained")
        await close(self.links)
        self._exit()

    def _exit(self) -> None:
        self.process.ended_in_peace = True
        self.world.ledger.check_exit(self.process)
        self.process.kill()
        raise ProcessEnded

    def _consumer(self) -> Consumer:
        world, name = self.world, self.process.name
        if world.plan.flow == "inbound":
            queues, processor = world.topology.inbound_queues(), self._turns()
        else:
            queues, processor = world.topology.reply_queues(CHANNEL), self._deliveries()
        priorities = {queue.name: consumer_priority(name, queue.name) for queue in queues}
        priorities |= {queue: priorities[owner] for queue, owner in processor.owners.items()}
        prefetch, flow = world.plan.prefetch, world.plan.flow
        return Consumer(
            URL,
            name,
            world.topology,
            priorities,
            prefetch,
            processor.open,
            flow,
            processor.channel,
            processor.owners,
        )

    def _turns(self) -> Processor[Any]:
        turns = Turns(self._turn, self.queues, QueueOutput)

        async def finished(message: InboundMessage, error: str | None) -> None:
            await turns.finished(message, error)
            self._finished(message, error)

        plan, owners = self.world.plan, self.world.topology.owners()
        more: dict[str, Any] = {"owners": owners, "urgent": plan.urgent}
        more["throttled"] = plan.throttled
        return self._processor(InboundMessage, turns.run, finished, TIMEOUT, **more)

    def _deliveries(self) -> Processor[Any]:
        breaker = CircuitBreaker(CHANNEL, self.world.universe.clock, Random(self.process.name))
        pace, topology = self.world.plan.pace, self.world.topology
        service: Any = Service(self)
        http: Any = None
        paced = recipients(pace, topology, CHANNEL)
        dispatcher = self.dispatcher = Dispatcher(service, http, breaker, paced)

        async def finished(message: Reply, error: str | None) -> None:
            self._finished(message, error)

        more = {"gate": breaker, "pace": dispatcher.recipients}
        processor = self._processor(Reply, dispatcher.deliver, finished, None, **more)
        if pace is not None:
            share_limit(self, pace, dispatcher, processor, CHANNEL)
        return processor

    def _processor(
        self, kind: Any, handle: Any, finished: Any, timeout: float | None, **more: Any
    ) -> Processor[Any]:
        self.processor = Processor(
            kind,
            handle,
            self.queues,
            concurrency=self.world.plan.concurrency,
            slow=self.world.plan.slow,
            timeout=timeout,
            clean_up=CLEAN_UP,
            policy=POLICY,
            finished=finished,
            channel=CHANNEL,
            **more,
        )
        return self.processor

    def left(self) -> dict[str, object]:
        """Return what a process that is up has left of the messages that it settled."""
        if self.processor is None or not self.process.is_alive:
            return {}
        return leftovers(self.processor, self.dispatcher, self.world.plan)

    def _finished(self, message: InboundMessage | Reply, error: str | None) -> None:
        if error is None:
            self.world.ledger.has_completed(self.process, message.id)

    async def _turn(self, message: InboundMessage, output: OutputChannel) -> None:
        """Handle one message as its script says; a handler of `worker`."""

        async def send() -> None:
            await output.send_text_message(message.sender_id, "hi")

        if not self.world.plan.policies:
            await attempt(self, [self.world.ledger.scripts[message.id]], send)
            return
        duplicates.watch(self._rasa)

        first = self.world.ledger.scripts[([part.id for part in message.parts] or [message.id])[0]]

        async def run(new: InboundMessage) -> None:
            await self._rasa.get_tracker(new.sender_id)
            ids = [part.id for part in new.parts] or [new.id]
            scripts = [self.world.ledger.scripts[id] for id in ids]
            await attempt(self, scripts, send, partial(self._save, new, scripts, first), first)

        with contextlib.suppress(duplicates.AlreadyRun):
            await duplicates.run_new(message, run)

    async def _save(self, message: InboundMessage, scripts: list[Script], oldest: Script) -> None:
        await self._rasa.save_tracker(message)
        self.world.ledger.saves(self.process, scripts, oldest)
        try:
            await asyncio.sleep(0.002 if oldest.number % 2 else 0.3)
        except asyncio.CancelledError:
            if self._is_interrupted():
                self.world.ledger.violate(UNBROKEN, f"{self.process.name} ends {oldest.id}")
            raise

    def _is_interrupted(self) -> bool:
        """Return whether the turn of this task was cancelled because a new message joins it."""
        generation = self.processor.generation if self.processor else None
        running = generation.gathering._running.values() if generation else ()
        return any(turn.is_interrupted and turn.work is work.current() for turn in running)

    async def feed(self) -> None:
        """Publish every message, as a webhook does whose providers send again until a 200."""
        self.links = [asyncio.ensure_future(self.publisher.run())]
        streams = self.world.plan.streams().values()
        await asyncio.gather(*(self._stream(scripts) for scripts in streams))
        self.world.all_sent = True
        await self.stopping.wait()
        await close(self.links)
        self._exit()

    async def _stream(self, scripts: list[Script]) -> None:
        for script in scripts:
            await asyncio.sleep(script.gap)
            while not await self._accepted(script):
                await asyncio.sleep(0.3)
            self.world.ledger.note(self.process.name, f"acknowledges {script.id}")
            self.world.ledger.acknowledged.add(script.id)

    async def _accepted(self, script: Script) -> bool:
        try:
            if self.world.plan.flow == "inbound":
                await self.queues.put_inbound(_inbound(script, self.world.plan))
            else:
                await self.queues.put_reply(_reply(script))
        except BrokerError:
            return False
        return True


def _inbound(script: Script, plan: Plan) -> InboundMessage:
    return InboundMessage(
        id=script.id,
        channel=CHANNEL,
        sender_id=script.conversation,
        text="hello",
        input_channel=CHANNEL,
        output_channel=CHANNEL,
        priority=script.priority,
        turns=plan.policy(script),
    )


def _reply(script: Script) -> Reply:
    recipient = script.conversation
    return Reply(
        id=script.id,
        channel=CHANNEL,
        recipient_id=recipient,
        kind="text",
        text="hi",
        in_reply_to="",
    )


class Service:
    """Stands in for a connector and its service."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def unprefixed(self, reply: Reply) -> Reply:
        return reply

    def split(self, reply: Reply) -> list[Reply]:
        return [reply]

    async def deliver(self, part: Reply, http: object) -> None:
        world = self._node.world
        script = world.ledger.scripts[part.id]
        if world.universe.now < world.service_is_down_until:
            world.ledger.trials.begins([script], world.universe.now)
            await asyncio.sleep(0.01)
            raise ServiceUnavailable("connection refused")
        if world.universe.now < world.service_fails_until:
            world.ledger.trials.begins([script], world.universe.now)
            await asyncio.sleep(0.05)
            raise RetryableDeliveryError("503")
        world.ledger.calls(self._node.process, script, part.redelivered)
        world.calls_arrive(self._node.process, part)
        await attempt(self._node, [script], None)


async def attempt(
    node: Node,
    scripts: list[Script],
    send: Send | None,
    save: Send | None = None,
    oldest: Script | None = None,
) -> None:
    """Run one attempt at the messages of a turn, whose oldest one need not be among them."""
    process, ledger = node.process, node.world.ledger
    with ledger.turn(process, scripts, oldest or scripts[0]):
        for script in scripts:
            node.world.attempts[script.id] += 1
        running, began = scripts[0], node.world.universe.now
        try:
            for running in scripts:
                for seconds in running.pieces:
                    await _patiently(seconds, swallow=running.kind == "swallows")
                for _ in range(running.replies if send else 0):
                    assert send is not None
                    await send()
                await _misbehave(node, running)
            if save is not None:
                await save()
        except asyncio.CancelledError:
            ledger.note(process.name, f"cleans {running.id} up")
            now = node.world.universe.now
            drains = node.stopped_at <= now < node.stopped_at + GRACE
            if drains and now < began + TIMEOUT and not node.world.plan.policies:
                ledger.check_cut_off(process, (oldest or running).id)
            await asyncio.sleep(running.clean_up)
            raise
        ledger.has_handled(process, scripts)


async def _patiently(seconds: float, *, swallow: bool) -> None:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if not swallow:
            raise


async def _misbehave(node: Node, script: Script) -> None:
    """Do what the kind of a script is named after."""
    number = node.world.attempts[script.id]
    retryable = RetryableDeliveryError("not now")
    if node.world.plan.flow == "replies" and node.world.is_patient():
        return
    if script.kind == "fails for ever" or (script.kind == "fails" and number <= script.times):
        raise retryable
    if script.kind == "rejects":
        raise RejectedDeliveryError("never")
    if script.kind == "kills" and (number <= script.times or script.times > 3):
        node.process.kill()
        raise ProcessEnded
    if script.kind == "blocks":
        block(node, float(script.times))
        await asyncio.sleep(0)
    if script.kind == "hangs":
        await asyncio.Event().wait()
    while script.kind == "ignores":
        await _patiently(1.0, swallow=True)


def block(node: Node, seconds: float) -> None:
    """Block the event loop; the watchdog accuses the message, and ends the process in the end."""
    universe, process = node.world.universe, node.process
    culprit = work._current.get()
    process.freeze(seconds)

    def accuse() -> None:
        if culprit and process.is_alive:
            culprit.blocked = True
            if not culprit.counted:
                counter = node.queues.attempts_counter(culprit.key)
                node.world.broker.count(counter)

    if seconds > HEARTBEAT:
        universe.after(HEARTBEAT, accuse)
    if seconds > SILENCE:
        universe.after(SILENCE, process.kill)
