"""Declares many queues without waiting for each answer.

A role declares over a hundred queues when it starts, and each answer takes a round trip. AMQP lets
a client say that it expects none (`no-wait`); aiormq 6 would wait for one nevertheless.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aio_pika import exceptions as amqp_errors
from pamqp import commands, frame

from bridge.broker.fast_path.tap import Tap
from bridge.broker.library import underlay
from bridge.broker.places import Queue

REFUSED = (amqp_errors.ChannelClosed, amqp_errors.ChannelInvalidStateError)


async def declared(connection: Any, tap: Tap | None, queues: list[Queue]) -> bool:
    """Declare durable queues and bind them, in order; return False if the broker refused one.

    The answer does not tell which one: declare them one by one to learn that. Without a tap, or
    queues, nothing is done. `connection` is aio_pika's.
    """
    if tap is None or not queues:
        return False
    try:
        async with connection.channel() as channel:
            number = (await underlay(channel)).number
            tap.write(b"".join(_frames(number, queues)))
            tap.flush(even_if_full=True)
            # The broker carries out what a channel asks for in order, so this is answered last.
            await channel.declare_queue(queues[-1].name, passive=True)
    except REFUSED:
        return False
    return True


def _frames(channel: int, queues: Iterable[Queue]) -> Iterable[bytes]:
    for queue in queues:
        yield frame.marshal(
            commands.Queue.Declare(
                queue=queue.name, durable=True, nowait=True, arguments=dict(queue.arguments)
            ),
            channel,
        )
        yield frame.marshal(
            commands.Queue.Bind(
                queue=queue.name,
                exchange=queue.exchange,
                routing_key=queue.routing_key,
                nowait=True,
            ),
            channel,
        )
