"""`rasa-bridge worker`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bridge.commands import options, rasa_line, rasa_run
from bridge.errors import SettingsError

if TYPE_CHECKING:
    from bridge.runtime.processes import Program


@click.command("worker", cls=rasa_line.RasaCommand)
@rasa_run.model
@options.endpoints
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of worker processes. A Rasa turn keeps one core busy.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Turns that one process runs at a time.  [default: 16, and more: up to 128 that take"
    " longer than 2 seconds, and 8 of high priority]",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, 2000),
    metavar="N",
    default=16,
    show_default=True,
    help="Unsettled messages that one process holds per queue; a partition has three.",
)
@click.option(
    "--handler",
    metavar="MODULE:FUNCTION",
    help="Run turns with this async function instead of a Rasa model.",
)
@click.option(
    "--rasa-url",
    metavar="URL",
    callback=options.http_url,
    help="Run turns on this Rasa server, through its REST channel.",
)
@options.turn_timeout
@options.retry_for
@options.grace
@options.metrics(
    "Serve Prometheus /metrics on this port; with --processes N, on N consecutive ports."
)
@options.verbosity
def command(
    model: str,
    remote_storage: str | None,
    endpoints: str | None,
    processes: int,
    handler: str | None,
    rasa_url: str | None,
    metrics_port: int | None,
    metrics_host: str,
    level: int,
    **limits: Any,
) -> None:
    """Take messages from the queue and run the assistant's turns.

    Start any number of workers, on any number of machines. RabbitMQ shares the conversations
    among them, and each conversation stays in order. A worker takes no messages until its model
    is loaded.
    """
    if handler and rasa_url:
        raise SettingsError("--handler and --rasa-url exclude each other", fix="use one of them")
    from bridge.http import probes
    from bridge.runtime import role
    from bridge.runtime.processes import Supervisor
    from bridge.settings.files import load_broker
    from bridge.telemetry import logs
    from worker.start import Source, start

    broker = load_broker(endpoints)
    logs.configure("worker", level)
    if processes > 1:
        children = _children(processes, metrics_port)
        sys.exit(role.run(Supervisor(children, limits["grace"]).run()))
    probes.serve(metrics_host, metrics_port)
    source = Source(model, remote_storage, handler, rasa_url)
    role.run(start(broker, source, endpoints, level, limits))


def _children(processes: int, metrics_port: int | None) -> list[Program]:
    """Return this command line, once for each process. The last value of an option wins."""
    from bridge.runtime.processes import Program, bridge_command

    command = bridge_command(*sys.argv[1:], "--processes", "1")
    return [
        Program(f"worker.{n}", [*command, *([] if port is None else ["--metrics-port", str(port)])])
        for n, port in enumerate(options.successive(metrics_port, processes), start=1)
    ]
