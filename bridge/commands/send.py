"""`rasa-bridge send`: one message through the queue, and the replies to it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from typing import TYPE_CHECKING

import click

from bridge.commands import options
from bridge.commands.values import Seconds
from bridge.errors import BrokerError, BrokerUnavailable, NoWorker, SettingsError, TurnFailed

if TYPE_CHECKING:
    from bridge.messages import InboundMessage
    from bridge.node import Node
    from bridge.settings.files import BrokerSettings
    from bridge.webhook.collect import CollectedReplies

CONNECT_SECONDS = 5.0
WORKERLESS_SECONDS = 5.0
"""A partition without a consumer for so long has no worker; a takeover is much quicker."""
LOOK_EVERY = 1.0


@click.command("send")
@click.argument("text")
@click.option(
    "--sender",
    default="rasa-bridge",
    show_default=True,
    metavar="ID",
    help="Conversation to write in (Rasa's sender id).",
)
@click.option(
    "--metadata", metavar="JSON", help="The message's metadata, a JSON object.  [default: none]"
)
@click.option(
    "--timeout",
    type=Seconds(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the turn to end.",
)
@options.endpoints
def command(
    text: str, sender: str, metadata: str | None, timeout: float, endpoints: str | None
) -> None:
    """Send TEXT to the assistant and print each reply.

    The message goes through the queue, so a worker must be running. Webhook and deliver are not
    needed: the replies come back to this command. It also prints how long RabbitMQ took to
    confirm the message.
    """
    if not text.strip() or not sender.strip():
        raise SettingsError(
            f"{'--sender' if text.strip() else 'TEXT'} is empty",
            fix="write it like: rasa-bridge send hello",
        )
    from bridge.messages import HIGH, InboundMessage
    from bridge.runtime import role
    from bridge.settings.files import load_broker
    from bridge.telemetry import logs

    # At WARNING the links would repeat the error that is printed at the end.
    logs.configure("send", logging.ERROR)
    message = InboundMessage(
        id=uuid.uuid4().hex,
        channel="rest",
        sender_id=sender,
        text=text,
        input_channel="rest",
        output_channel="collector",
        metadata=_object(metadata),
        priority=HIGH,
    )
    role.run(_converse(load_broker(endpoints), message, timeout))


async def _converse(broker: BrokerSettings, message: InboundMessage, timeout: float) -> None:
    from bridge.node import Node
    from bridge.webhook.collect import ReplyCollector
    from bridge.webhook.inbox import QueueInbox

    node = Node("send", broker, broker.topology(), reports=False)
    collector = ReplyCollector(node.url, f"{node.name} replies", node.topology)
    node.add(collector.link)
    node.start(_reported_by_ready)
    try:
        if not await node.ready(CONNECT_SECONDS):
            raise BrokerUnavailable(
                f"no broker: {node.problem()}", fix="start it, or fix bridge.url"
            )
        replies = QueueInbox(node.queues, collector).collect(message, timeout)
        started = time.perf_counter()
        await replies.enqueued()
        click.echo(f"acknowledged in {(time.perf_counter() - started) * 1000:.1f} ms")
        await _printed(replies, started, node, message.sender_id)
    except TurnFailed as error:
        if error.status == 504:
            error.fix = "check that a worker is running"
        raise
    finally:
        await node.stop()


async def _printed(replies: CollectedReplies, started: float, node: Node, sender: str) -> None:
    """Print the replies of a turn until it ends, or until no worker can run it."""
    printing = asyncio.ensure_future(_print(replies, started))
    watching = asyncio.ensure_future(_no_worker(node, sender))
    try:
        await asyncio.wait({printing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not printing.done():
            raise NoWorker(watching.result())
        printing.result()
    finally:
        printing.cancel()
        watching.cancel()


async def _print(replies: CollectedReplies, started: float) -> None:
    from bridge.connectors.rest import reply_body

    count = 0
    async for reply in replies:
        count += 1
        body = reply_body(reply)
        del body["recipient_id"]
        elapsed = time.perf_counter() - started
        click.echo(f"{elapsed:6.3f} s  {json.dumps(body, ensure_ascii=False)}")
    if not count:
        click.echo("the turn ended without a reply")


async def _no_worker(node: Node, sender: str) -> str:
    """Return the queue of a conversation once it had no consumer for WORKERLESS_SECONDS."""
    from bridge.broker.topology import partition_of

    topology = node.topology
    queue = topology.inbound_queue(partition_of(sender, topology.inbound_partitions))
    since = time.monotonic()
    while time.monotonic() < since + WORKERLESS_SECONDS:
        try:
            depth = (await node.publisher.opened().depths([queue])).get(queue)
        except BrokerError:
            depth = None  # the wait for replies ends with that error
        if depth is None or depth.consumers:
            since = time.monotonic()
        await asyncio.sleep(LOOK_EVERY)
    return queue


def _reported_by_ready(_: BaseException) -> None:
    """`Node.ready` raises the error of a failed link."""


def _object(text: str | None) -> dict[str, object] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--metadata is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(
            "--metadata must be a JSON object", fix='write it like {"plan": "gold"}'
        )
    return value
