"""`rasa-bridge webhook`."""

from __future__ import annotations

import os
from typing import Any

import click

from bridge.commands import options, rasa_line, rasa_run
from bridge.commands.api_options import api as api_options


@click.command("webhook", cls=rasa_line.RasaCommand)
@options.credentials
@options.endpoints
@options.webhook_port
@options.webhook_interface
@rasa_run.connector
@rasa_run.serving
@api_options
@options.grace
@options.metrics()
@options.verbosity
def command(
    credentials: str | None,
    endpoints: str | None,
    port: int,
    interface: str,
    connector: str | None,
    serving: dict[str, Any],
    enable_api: bool,
    api: dict[str, Any],
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
    from bridge.http.tls import server_context
    from bridge.runtime import role
    from bridge.settings.api import api_settings
    from bridge.settings.files import credentials_file, load_broker, load_credentials
    from bridge.telemetry import logs
    from bridge.webhook.server import serve_webhooks

    logs.configure("webhook", level)
    tls = server_context(
        serving["ssl_certificate"],
        serving["ssl_keyfile"],
        serving["ssl_ca_file"],
        os.environ.get(rasa_run.SSL_PASSWORD),
    )
    broker = load_broker(endpoints)
    settings = api_settings(broker.api, api, enable_api, serving["response_timeout"])
    sections = load_credentials(
        credentials, strict=False, only=connector, optional=settings is not None
    )
    channels = load_channels(sections, credentials_file(credentials), "webhook")
    if serving["response_timeout"] is not None:
        for channel in channels.values():
            channel.connector.response_timeout = serving["response_timeout"]
    probes.serve(metrics_host, metrics_port)
    role.run(
        serve_webhooks(
            broker, channels, interface, port, grace, api=settings, cors=serving["cors"], tls=tls
        )
    )
