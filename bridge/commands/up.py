"""`rasa-bridge up`: all roles in one terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bridge.commands import options, rasa_line, rasa_run
from bridge.commands.api_options import api as api_options

if TYPE_CHECKING:
    from bridge.connectors.registry import Channel
    from bridge.runtime.processes import Program

log = logging.getLogger(__name__)


@click.command("up", cls=rasa_line.RasaCommand)
@rasa_run.model
@options.credentials
@options.endpoints
@options.webhook_port
@options.webhook_interface
@rasa_run.connector
@rasa_run.serving
@api_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of workers.",
)
@click.option("--handler", metavar="MODULE:FUNCTION", help="As for the 'worker' command.")
@click.option(
    "--rasa-url", metavar="URL", callback=options.http_url, help="As for the 'worker' command."
)
@click.option(
    "--monitor-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Also run the monitor, on this port of 127.0.0.1.  [default: none]",
)
@options.turn_timeout
@options.grace
@options.metrics(
    "Serve Prometheus /metrics on consecutive ports from this one: webhook, workers, deliver."
)
@options.verbosity
def command(
    model: str,
    remote_storage: str | None,
    credentials: str | None,
    endpoints: str | None,
    port: int,
    interface: str,
    connector: str | None,
    serving: dict[str, Any],
    enable_api: bool,
    api: dict[str, Any],
    workers: int,
    handler: str | None,
    rasa_url: str | None,
    monitor_port: int | None,
    turn_timeout: float,
    grace: float,
    metrics_port: int | None,
    metrics_host: str,
    level: int,
) -> None:
    """Run webhook, worker and deliver in one terminal.

    Ctrl-C stops all of them. The webhook starts once the workers are ready, so no request waits
    for a model to load.

    For development. In production, start each role separately, so that you can scale it
    separately.
    """
    from bridge.commands.broker import reached
    from bridge.connectors.registry import load_channels
    from bridge.http import listening
    from bridge.http.tls import server_context
    from bridge.runtime import role
    from bridge.runtime.imports import refuse_missing_rasa
    from bridge.runtime.processes import Program, Supervisor, bridge_command
    from bridge.settings.api import api_settings
    from bridge.settings.files import credentials_file, load_broker, load_credentials
    from bridge.telemetry import logs

    # Checked here, so that a mistake is reported at once, and not by each role.
    broker = load_broker(endpoints)
    serves_api = api_settings(broker.api, api, enable_api) is not None
    sections = load_credentials(credentials, only=connector, optional=serves_api)
    loaded = load_channels(sections, credentials_file(credentials))
    if not handler and not rasa_url:
        refuse_missing_rasa()
    tls = server_context(
        serving["ssl_certificate"],
        serving["ssl_keyfile"],
        serving["ssl_ca_file"],
        os.environ.get(rasa_run.SSL_PASSWORD),
    )
    listening.check(interface, port, "--port or --interface")
    if monitor_port:
        listening.check("127.0.0.1", monitor_port, "--monitor-port")
    logs.configure("up", level)
    shared = [*rasa_run.words({"endpoints": endpoints}), *_flags(level)]
    common = ["--grace", str(grace), "--metrics-host", metrics_host, *shared]
    channels = rasa_run.words({"credentials": credentials})
    edges = [*common, *channels, *rasa_run.words({"connector": connector})]
    turns = {
        "model": model,
        "remote_storage": remote_storage,
        "handler": handler,
        "rasa_url": rasa_url,
        "turn_timeout": turn_timeout,
    }
    webhook = ["webhook", "--port", str(port), "--interface", interface, *rasa_run.words(serving)]
    webhook += rasa_run.words({"enable_api": enable_api, **api})
    names = ["worker"] if workers == 1 else [f"worker.{n}" for n in range(1, workers + 1)]
    commands = {
        "webhook": [*webhook, *edges],
        **{name: ["worker", *rasa_run.words(turns), *common] for name in names},
        **({"deliver": ["deliver", *edges]} if sections else {}),
    }
    ports = options.successive(metrics_port, len(commands))
    for one in filter(None, ports):
        listening.check(metrics_host, one, "--metrics-port or --metrics-host")
    programs = _programs(commands, names, ports)
    if monitor_port:
        monitor = ["monitor", "--port", str(monitor_port), *shared, *channels]
        programs.append(Program("monitor", bridge_command(*monitor)))
    hint = _first_message(loaded.get("rest"), interface, port, tls is not None, endpoints)

    def announce(seconds: float) -> None:
        log.info("ready after %.0f s, try: %s", seconds, hint)

    supervisor = Supervisor(programs, grace, announce, lambda: reached(broker, "up"))
    sys.exit(role.run(supervisor.run()))


def _programs(
    commands: dict[str, list[str]], workers: list[str], ports: Sequence[int | None]
) -> list[Program]:
    """Return what to run. The webhook waits for the workers: a request would wait for the model."""
    from bridge.runtime.processes import Program, bridge_command

    return [
        Program(
            name,
            bridge_command(*command, *rasa_run.words({"metrics_port": port})),
            after=workers if name == "webhook" else (),
        )
        for (name, command), port in zip(commands.items(), ports, strict=True)
    ]


def _first_message(
    rest: Channel | None, interface: str, port: int, tls: bool, endpoints: str | None
) -> str:
    """Return a command that sends a first message: through the webhook if it is open."""
    if rest is None or rest.connector.verifies():
        return " ".join(["rasa-bridge send hello", *rasa_run.words({"endpoints": endpoints})])
    from bridge.http.listening import REACHED_AS_LOCALHOST, authority

    address = authority("localhost" if interface in REACHED_AS_LOCALHOST else interface, port)
    # A certificate names the public host, and not this address.
    url = f"--insecure https://{address}" if tls else address
    # curl would take the brackets of an IPv6 address for a pattern.
    url = f"--globoff {url}" if "[" in url else url
    body = '{"sender": "me", "message": "hello"}'
    return f"curl {url}{rest.connector.served_at()} -d '{body}'"


def _flags(level: int) -> list[str]:
    return {10: ["--debug"], 30: ["--quiet"]}.get(level, [])
