"""`rasa-bridge monitor`."""

from __future__ import annotations

import os

import click

from bridge.commands import options
from bridge.errors import SettingsError
from bridge.monitor.access import TOKEN_VARIABLE, AccessControl


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
    metavar="PORT",
    help="Port to listen on.",
)
@click.option(
    "--token",
    envvar=TOKEN_VARIABLE,
    metavar="TOKEN",
    help="Token that the page and the API require, 16 characters or more. Set it in the"
    f" environment variable {TOKEN_VARIABLE} to keep it out of the process list. Required unless"
    " --host is 127.0.0.1.",
)
@options.management_url
@options.metrics("Also serve /metrics on this port, without the token.")
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
    """Serve a live web page with the queues and dead letters.

    The page shows the same figures as 'status', and charts of the last 15 minutes. Dead letters
    can be read, replayed and purged from it.

    The same port serves /metrics, which includes queue depth and oldest message age. If a token
    is set, Prometheus must send it in the header 'Authorization: Bearer'. /healthz never requires
    the token.
    """
    from bridge.commands.broker import settings
    from bridge.http import probes
    from bridge.monitor.server import serve_monitor
    from bridge.runtime import role
    from bridge.settings.yaml_values import is_blank

    broker, topology = settings("monitor", credentials, endpoints, level)
    if is_blank(os.environ.get(TOKEN_VARIABLE, "-")) or is_blank("-" if token is None else token):
        raise SettingsError(
            "the monitor's token is empty", fix=f"give --token or {TOKEN_VARIABLE} a value"
        )
    access = AccessControl(host, port, token)
    probes.serve(metrics_host, metrics_port)
    role.run(serve_monitor(broker, topology, management_url, access, host, port))
