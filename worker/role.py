"""The worker role: consumes inbound messages, one lane per conversation, and runs their turns."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.broker.queues import Queues
from bridge.broker.reminders import DueMessages
from bridge.messages import Handler, InboundMessage
from bridge.node import Node
from bridge.processing.processor import Processor
from bridge.runtime.garbage import collect_seldom
from bridge.runtime.retry import RetryPolicy
from bridge.settings.files import BrokerSettings
from worker.handler import Turns
from worker.output_channel import QueueOutput

log = logging.getLogger(__name__)

CONCURRENCY = 16
"""Turns at a time, by default."""
SLOW = 128
"""Further turns, which take longer than two seconds: so many may wait for a stalled action server,
and the others go on."""
TURN_TIMEOUT = 300.0
"""Seconds that one attempt at a turn may take."""
URGENT = 8
"""Further turns of high priority: so many need not wait until another turn ends."""
MakeOutput = Callable[[InboundMessage, Queues], QueueOutput]


async def work(
    broker: BrokerSettings,
    handler: Handler,
    make_output: MakeOutput = QueueOutput,
    *,
    concurrency: int | None,
    prefetch: int,
    grace: float,
    turn_timeout: float = TURN_TIMEOUT,
    retry_for: float = RetryPolicy.max_age,
    model: Callable[[], str] | None = None,
) -> None:
    """Run a turn for each inbound message of this worker's partitions, until a signal.

    `concurrency` is the number of turns at a time. None means `CONCURRENCY`, and up to `SLOW` more
    that take longer than two seconds, and `URGENT` of high priority. `prefetch` is the number of
    unsettled messages per queue. `grace`, `turn_timeout` (of one attempt) and `retry_for` (the age
    at which a failing turn is dead-lettered) are in seconds. `model` names the model that runs the
    next turn, for monitors.

    Raises:
        TopologyError: the broker and the settings disagree.
    """
    node = worker_node(
        broker,
        handler,
        make_output,
        concurrency=concurrency,
        prefetch=prefetch,
        grace=grace,
        turn_timeout=turn_timeout,
        policy=RetryPolicy(max_age=retry_for),
        model=model,
    )

    async def drain() -> None:
        if not await node.drain(grace):
            log.warning("turns still running after %g s: their messages are redelivered", grace)

    collect_seldom()
    await node.serve(drain)


def worker_node(
    broker: BrokerSettings,
    handler: Handler,
    make_output: MakeOutput,
    *,
    concurrency: int | None,
    prefetch: int,
    grace: float,
    turn_timeout: float = TURN_TIMEOUT,
    policy: RetryPolicy | None = None,
    model: Callable[[], str] | None = None,
) -> Node:
    """Return a node that consumes all inbound partitions and runs their turns."""
    node = Node("worker", broker, broker.topology(), longest_silence=turn_timeout, model=model)
    turns = Turns(handler, node.queues, make_output)
    processor = Processor(
        InboundMessage,
        turns.run,
        node.queues,
        concurrency=concurrency or CONCURRENCY,
        slow=0 if concurrency else SLOW,
        urgent=0 if concurrency else URGENT,
        throttled=True,
        timeout=turn_timeout,
        clean_up=grace,
        policy=policy,
        finished=turns.finished,
        owners=node.topology.owners(),
    )
    node.consume(node.topology.inbound_queues(), processor, prefetch)
    node.add(DueMessages(node.url, node.name, node.topology, node.queues))
    return node
