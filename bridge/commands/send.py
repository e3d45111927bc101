"""`rasa-bridge send`: one message through the queue, and the replies to it."""

from __future__ import annotations

import json
import logging
import time
import uuid

import click

from bridge.commands import options
from bridge.connectors.rest import reply_body
from bridge.errors import BrokerUnavailable, SettingsError, TurnFailed
from bridge.messages import InboundMessage
from bridge.node import Node
from bridge.runtime import role
from bridge.settings.files import BrokerSettings, load_broker
from bridge.telemetry import logs
from bridge.webhook.collect import ReplyCollector
from bridge.webhook.inbox import QueueInbox

CONNECT_SECONDS = 5.0


@click.command("send")
@click.argument("text")
@click.option("--sender", default="rasa-bridge", show_default=True, help="The conversation.")
@click.option("--metadata", metavar="JSON", help="Metadata of the message, a JSON object.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Time to wait for the turn.",
)
@options.endpoints
def command(
    text: str, sender: str, metadata: str | None, timeout: float, endpoints: str | None
) -> None:
    """Send TEXT to the assistant through the queue; print how long RabbitMQ took to confirm it
    and each reply as it comes.

    It needs a running worker, but neither webhook nor deliver: the replies come back here.
    """
    # The links' own warnings would only repeat what the one error says at the end.
    logs.configure("send", logging.ERROR)
    message = InboundMessage(
        id=uuid.uuid4().hex,
        channel="rest",
        sender_id=sender,
        text=text,
        input_channel="rest",
        output_channel="collector",
        metadata=_object(metadata),
    )
    role.run(_converse(load_broker(endpoints), message, timeout))


async def _converse(broker: BrokerSettings, message: InboundMessage, timeout: float) -> None:
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
        hint = "; does a worker run?" if error.status == 504 else ""
        raise TurnFailed(error.status, f"{error}{hint}") from error
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
        raise SettingsError(f"--metadata is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError('--metadata must be a JSON object, such as {"plan": "gold"}')
    return value
