"""No message overtakes one of its lane that this process returned to its queue. No AMQP.

A process returns messages so that another one goes on with their partition. They may come back: the
other process died meanwhile, for example. RabbitMQ delivers returned messages before all others, in
the order of their return. But what it had sent before arrives earlier, and so does what it sends
while only some of the messages are back on the queue. Such a message returns behind them.

It is never clear that another process settled the returned messages. So the first new message
afterwards returns, too. When it is back, everything before it is done.

All this is needed until a queue that was held back has everything (`takeover.Takeovers.together`):
what it delivers from then on is in order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from bridge.messages import Delivery

REMEMBERED = 10_000
"""Lanes with returned messages; beyond this number the oldest are forgotten."""

Key = tuple[str, Hashable]
"""A queue and a lane."""


class Returns:
    """What one generation returned to its queues, by queue and lane."""

    def __init__(self) -> None:
        self.by_lane: OrderedDict[Key, dict[str, None]] = OrderedDict()
        """The identities of messages that may come back, in the order of their return."""

    def note(self, queue: str, lane: Hashable, identity: str) -> None:
        """Note that a message is about to return to its queue."""
        returned = self.by_lane.setdefault((queue, lane), {})
        returned.pop(identity, None)
        returned[identity] = None
        self.by_lane.move_to_end((queue, lane))
        if len(self.by_lane) > REMEMBERED:
            self.by_lane.popitem(last=False)

    def is_back(self, delivery: Delivery, lane: Hashable, identity: str) -> bool:
        """Whether a delivery is one of the returned messages. Those before it are settled."""
        returned = self.by_lane.get((delivery.queue, lane))
        if not returned or not delivery.redelivered or identity not in returned:
            return False
        for earlier in list(returned):
            del returned[earlier]
            if earlier == identity:
                break
        if not returned:
            del self.by_lane[delivery.queue, lane]
        return True

    def is_overtaking(self, delivery: Delivery, lane: Hashable) -> bool:
        """Whether a delivery that is not back arrives before one that may be."""
        return (delivery.queue, lane) in self.by_lane

    def forget(self, queue: str) -> None:
        """Forget the messages of a queue: each of them is there now, before all that may arrive."""
        for key in [key for key in self.by_lane if key[0] == queue]:
            del self.by_lane[key]

    def concern(self, queue: str) -> bool:
        """Whether messages of a queue were returned and may come back."""
        return any(returned == queue for returned, _ in self.by_lane)
