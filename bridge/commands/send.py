"""`rasa-bridge send`: one message through the queue, and the replies to it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import TYPE_CHECKING

import click

from bridge.commands import options
from bridge.errors import BrokerUnavailable, SettingsError, TurnFailed

if TYPE_CHECKING:
    from bridge.messages import InboundMessage
    from bridge.settings.files import BrokerSettings

CONNECT_SECONDS = 5.0


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
    type=click.FloatRange(min=0, min_open=True),
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
    from bridge.connectors.rest import reply_body
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
        count = 0
        async for reply in replies:
            count += 1
            body = reply_body(reply)
            del body["recipient_id"]
            elapsed = time.perf_counter() - started
            click.echo(f"{elapsed:6.3f} s  {json.dumps(body, ensure_ascii=False)}")
        if not count:
            click.echo("the turn ended without a reply")
    except TurnFailed as error:
        if error.status == 504:
            error.fix = "check that a worker is running"
        raise
    finally:
        await node.stop()


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
