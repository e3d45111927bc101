"""Connects the pace of a channel to the broker: its pacer, and the calls of this process."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bridge.broker.pace import PaceLink
from bridge.connectors.limits import RateLimit
from bridge.delivery.grants import Grants
from bridge.delivery.pacer import Grant, Pacer, Request, used
from bridge.messages import UNREADABLE, Delivery
from bridge.node import Node

_requests = msgspec.json.Decoder(Request)
_grants = msgspec.json.Decoder(Grant)


class ChannelPace:
    """The rate limit of one channel, shared by all `deliver` processes."""

    def __init__(
        self, node: Node, channel: str, limit: RateLimit, partitions_held: Callable[[], int]
    ) -> None:
        """`partitions_held()` is the number of partitions of which this process holds replies."""
        self._pacer = Pacer(node.name, limit, self._answer)
        rate, partitions = used(limit).rate, node.topology.reply_partitions
        self.grants = Grants(
            channel,
            limit,
            self._ask,
            share=lambda: rate * partitions_held() / partitions,
            blocked=lambda: node.publisher.is_blocked,
        )
        self._link = PaceLink(
            node.url,
            node.name,
            node.topology,
            channel,
            node.publisher,
            self._on_request,
            self._on_answer,
        )
        self._link.on_change = self._on_change
        node.add(self._link)

    def _on_change(self) -> None:
        if self._link.answers is None:
            self._pacer.stop()
        else:
            self.grants.connected()

    def _ask(self, number: int, calls: int, alarm: int, lease: float) -> None:
        answers = self._link.answers
        if answers is not None:
            request = Request(
                number=number,
                calls=calls,
                answers=answers,
                after_alarm=alarm > 0,
                alarm=alarm,
                lease=lease,
            )
            self._link.ask(msgspec.json.encode(request))

    def _answer(self, queue: str, grant: Grant) -> None:
        self._link.answer(queue, msgspec.json.encode(grant))

    def _on_request(self, delivery: Delivery) -> None:
        try:
            request = _requests.decode(delivery.body)
        except UNREADABLE:
            self._link.settle(delivery)
            return
        self._pacer.asked(request, lambda: self._link.settle(delivery))

    def _on_answer(self, delivery: Delivery) -> None:
        try:
            grant = _grants.decode(delivery.body)
        except UNREADABLE:
            return
        self.grants.granted(grant)
