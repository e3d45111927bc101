"""`rasa-bridge deliver`."""

from __future__ import annotations

import click

from bridge.commands import options, rasa_line, rasa_run


@click.command("deliver", cls=rasa_line.RasaCommand)
@options.credentials
@options.endpoints
@rasa_run.connector
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="N",
    help="Concurrent calls per channel. Failing recipients may use a quarter of them.",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, 2000),
    default=1000,
    show_default=True,
    metavar="N",
    help="Unsettled replies held per queue.",
)
@options.retry_for
@options.grace
@options.metrics()
@options.verbosity
def command(
    credentials: str | None,
    endpoints: str | None,
    connector: str | None,
    concurrency: int,
    prefetch: int,
    retry_for: float,
    grace: float,
    metrics_port: int | None,
    metrics_host: str,
    level: int,
) -> None:
    """Send the assistant's replies to the external services.

    Replies to one recipient are sent in order. A failing reply is retried, and delays only
    replies to the same recipient. While an entire service is down, its replies wait in RabbitMQ.
    Replies that can never be delivered are dead-lettered.
    """
    from bridge.connectors.registry import load_channels
    from bridge.delivery.role import deliver
    from bridge.http import probes
    from bridge.runtime import role
    from bridge.settings.files import credentials_file, load_broker, load_credentials
    from bridge.telemetry import logs

    logs.configure("deliver", level)
    sections = load_credentials(credentials, strict=False, only=connector)
    channels = load_channels(sections, credentials_file(credentials), "deliver")
    probes.serve(metrics_host, metrics_port)
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
