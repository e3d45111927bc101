"""`rasa-bridge monitor`."""

from __future__ import annotations

import click

from bridge.commands import options
from bridge.commands.status import management_url, settings
from bridge.monitor.access import TOKEN_VARIABLE, Access
from bridge.monitor.management import default_url
from bridge.monitor.server import serve_monitor
from bridge.runtime import role
from bridge.telemetry import metrics


@click.command("monitor")
@options.credentials
@options.endpoints
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on.",
)
@click.option(
    "-p",
    "--port",
    type=click.IntRange(1, 65535),
    default=5006,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--token",
    envvar=TOKEN_VARIABLE,
    metavar="TOKEN",
    help=f"Ask for this token; better given as {TOKEN_VARIABLE}. Needed for any other address than"
    " 127.0.0.1.",
)
@management_url
@options.metrics("Serve /metrics on this port, too; it asks for no token.")
@options.verbosity
def command(
    credentials: str | None,
    endpoints: str | None,
    host: str,
    port: int,
    token: str | None,
    management_url: str | None,
    metrics_port: int | None,
    metrics_host: str,
    level: int,
) -> None:
    """Serve a web page that shows the queues, live, and the dead letters.

    It shows what 'status' shows, and the last 15 minutes. Dead letters can be read, replayed and
    purged there. /metrics is served on the same port, with depth and age of the queues; Prometheus
    sends the token, if there is one, as 'Authorization: Bearer'. /healthz asks for none.
    """
    broker, topology = settings("monitor", credentials, endpoints, level)
    access = Access(host, port, token)
    metrics.serve(metrics_host, metrics_port)
    url = management_url or default_url(broker.url)
    role.run(serve_monitor(broker, topology, url, access, host, port))
