"""`rasa-bridge deliver`."""

from __future__ import annotations

import click

from bridge.commands import options
from bridge.connectors.registry import load_channels
from bridge.delivery.role import deliver
from bridge.runtime import role
from bridge.settings.files import load_broker, load_credentials
from bridge.telemetry import logs, metrics


@click.command("deliver")
@options.credentials
@options.endpoints
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Calls at a time, per channel; a quarter of them to failing recipients at most.",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, 2000),
    default=1000,
    show_default=True,
    help="Unsettled replies held, per queue.",
)
@options.retry_for
@options.grace
@options.metrics()
@options.verbosity
def command(
    credentials: str | None,
    endpoints: str | None,
    concurrency: int,
    prefetch: int,
    retry_for: float,
    grace: float,
    metrics_port: int | None,
    metrics_host: str,
    level: int,
) -> None:
    """Post the assistant's replies to the external services.

    The replies to one recipient go out in order; a failing one is tried again and holds back only
    its own recipient. While a service is down as a whole its replies wait in RabbitMQ. What can
    never be delivered goes to the dead-letter queue.
    """
    logs.configure("deliver", level)
    channels = load_channels(load_credentials(credentials), credentials or "credentials.yml")
    metrics.serve(metrics_host, metrics_port)
    role.run(
        deliver(
            load_broker(endpoints),
            channels,
            concurrency=concurrency,
            prefetch=prefetch,
            grace=grace,
            retry_for=retry_for,
        )
    )
