"""Bugs that are planted into what returns to its queue, see `planted`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bridge.broker.channels import ConsumerChannel
from bridge.errors import BrokerError
from bridge.messages import Delivery
from bridge.processing.indexes import Indexes
from bridge.processing.partitions import Partitions
from bridge.processing.returns import Returns
from bridge.processing.takeover import Takeovers
from tests.simulation.ledger import ENDS, FAIR, ONE_TURN, ORDER
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted, _nothing, _overflows
from tests.simulation.planted_more import _fails_alone


def _awaits(plan: Plan) -> bool:
    """Urgent messages wait for a turn of another process, and more arrive meanwhile."""
    return plan.flow == "inbound" and plan.prefetch == 64


def _moves(plan: Plan) -> bool:
    """Messages of several priorities return while processes come and go."""
    return plan.flow == "inbound" and len({script.priority for script in plan.scripts}) > 2


async def _at_once(self: Partitions[Any], delivery: Delivery) -> None:
    """Return a message although it is the lock of others."""
    partition = self._of(delivery)
    if delivery.queue == partition.queue:
        partition.held -= 1
    else:
        partition.others -= 1
        self._unlock_if_idle(partition, at_once=True)
    partition.note_change()


async def _close_now(self: Indexes, delivery: Delivery) -> None:
    """Delete the index of a partition as soon as one lane needs it no more."""
    window = self._window
    if delivery.queue in self.unneeded and window is not None and not delivery.overflowed:
        self.unneeded.discard(delivery.queue)
        with suppress(BrokerError):
            await window.close_index(delivery.queue, lambda: True)


async def _does_not(*_: object) -> bool:
    return False


def _forget_nothing(*_: object) -> None: ...


BUGS = [
    Planted(
        ORDER,
        "nothing returns behind one of its lane that was returned",
        Returns,
        "is_overtaking",
        lambda *_: False,
        _awaits,
    ),
    Planted(
        ORDER,
        "a queue delivers while its messages are returned",
        ConsumerChannel,
        "hold_back",
        _nothing,
        _awaits,
    ),
    Planted(
        ONE_TURN,
        "the lock returns before what it protects",
        Partitions,
        "give_up",
        _at_once,
        _moves,
    ),
    Planted(
        ENDS, "what was returned is never forgotten", Returns, "forget", _forget_nothing, _moves
    ),
    Planted(ENDS, "an index is deleted too early", Indexes, "close", _close_now, _overflows),
    Planted(
        FAIR,
        "a partition that another process waits for is not left",
        Takeovers,
        "waits",
        _does_not,
        _fails_alone,
    ),
]
