"""`rasa-bridge webhook`."""

from __future__ import annotations

import click

from bridge.commands import options


@click.command("webhook")
@options.credentials
@options.endpoints
@options.webhook_port
@options.webhook_interface
@options.grace
@options.metrics()
@options.verbosity
def command(
    credentials: str | None,
    endpoints: str | None,
    port: int,
    interface: str,
    grace: float,
    metrics_port: int | None,
    metrics_host: str,
    level: int,
) -> None:
    """Receive messages from the channels and queue them.

    Each channel in the credentials file is served under Rasa's URL, /webhooks/<channel>/webhook.
    A message is acknowledged once RabbitMQ has confirmed it. Without a confirm the response is
    503, so the provider sends the message again.

    Run any number of these processes behind a load balancer. /healthz answers while the process
    is alive, /readyz while it can accept messages.
    """
    from bridge.connectors.registry import load_channels
    from bridge.http import probes
    from bridge.runtime import role
    from bridge.settings.files import credentials_file, load_broker, load_credentials
    from bridge.telemetry import logs
    from bridge.webhook.server import serve_webhooks

    logs.configure("webhook", level)
    sections = load_credentials(credentials, strict=False)
    channels = load_channels(sections, credentials_file(credentials), "webhook")
    probes.serve(metrics_host, metrics_port)
    role.run(serve_webhooks(load_broker(endpoints), channels, interface, port, grace))
