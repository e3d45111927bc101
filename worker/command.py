"""`rasa-bridge worker`."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from bridge.commands import options
from bridge.errors import SettingsError
from bridge.http.client import HttpClient
from bridge.runtime import role
from bridge.runtime.imports import add_working_directory
from bridge.runtime.processes import Program, Supervisor, bridge_command
from bridge.settings.files import DEFAULT_ENDPOINTS, BrokerSettings, load_broker
from bridge.telemetry import logs, metrics
from worker.handler import load_handler
from worker.rasa_server import server_handler
from worker.role import work

log = logging.getLogger(__name__)

TURN_TIMEOUT = 300.0
"""Time limit of a turn on a Rasa server, in seconds."""
IN_MEMORY = (
    "the tracker store is in memory: other workers cannot see these conversations, and a restart"
    " loses them; add a 'tracker_store' (SQL, Redis, MongoDB) to endpoints.yml"
)


@click.command("worker")
@click.option(
    "-m",
    "--model",
    default="models",
    show_default=True,
    help="Trained model: a file, or a folder, of which the newest model is used.",
)
@options.endpoints
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of worker processes. A Rasa turn keeps one core busy.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Conversations that one process runs at a time.",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, 2000),
    default=16,
    show_default=True,
    help="Unsettled messages that one process holds per partition.",
)
@click.option(
    "--handler",
    metavar="MODULE:FUNCTION",
    help="Run turns with this async function instead of a Rasa model.",
)
@click.option(
    "--rasa-url",
    metavar="URL",
    help="Run turns on this Rasa server, through its REST channel.",
)
@options.retry_for
@options.grace
@options.metrics(
    "Serve Prometheus /metrics on this port; with --processes N, on N consecutive ports."
)
@options.verbosity
def command(
    model: str,
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
    broker = load_broker(endpoints)
    logs.configure("worker", level)
    if processes > 1:
        children = _children(processes, metrics_port)
        sys.exit(role.run(Supervisor(children, limits["grace"]).run()))
    metrics.serve(metrics_host, metrics_port)
    role.run(_work(broker, model, endpoints, handler, rasa_url, level, limits))


async def _work(
    broker: BrokerSettings,
    model: str,
    endpoints: str | None,
    handler: str | None,
    rasa_url: str | None,
    level: int,
    limits: dict[str, Any],
) -> None:
    if handler:
        await work(broker, load_handler(handler), **limits)
        return
    if rasa_url:
        async with HttpClient(timeout=TURN_TIMEOUT) as http:
            await work(broker, server_handler(rasa_url, http), **limits)
        return
    # Checked first, because importing rasa takes seconds.
    if find_spec("rasa") is None:
        raise _no_rasa("no module named 'rasa'")
    if not Path(model).exists():  # noqa: ASYNC240
        raise SettingsError(
            f"{model}: no such model", fix="train one with 'rasa train', or name it with -m"
        )
    log.info("loading the assistant")
    # Sanic 21.12 enables these. Those from rasa's libraries would flood the start of the log.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        from worker import agent as rasa_agent
    except ImportError as error:
        raise _no_rasa(error) from error
    # Only now, so that no module of the user shadows one that rasa imports.
    add_working_directory()
    agent = await rasa_agent.load(model, _rasa_endpoints(endpoints), level)
    if not rasa_agent.has_shared_trackers(agent):
        log.warning(IN_MEMORY)
    await work(broker, rasa_agent.agent_handler(agent), rasa_agent.AssistantOutput, **limits)


def _no_rasa(why: object) -> SettingsError:
    return SettingsError(
        f"rasa cannot be imported ({why})",
        fix="run: pip install 'rasa-channel-bridge[rasa]' on Python 3.10, or use --handler or"
        " --rasa-url",
    )


def _rasa_endpoints(endpoints: str | None) -> str | None:
    """Return the endpoints file if it exists. Given a missing one, Rasa exits."""
    path = endpoints or DEFAULT_ENDPOINTS
    return path if Path(path).is_file() else None


def _children(processes: int, metrics_port: int | None) -> list[Program]:
    """Return this command line, once for each process. The last value of an option wins."""
    command = bridge_command(*sys.argv[1:], "--processes", "1")
    return [
        Program(f"worker.{n}", [*command, *([] if port is None else ["--metrics-port", str(port)])])
        for n, port in enumerate(options.successive(metrics_port, processes), start=1)
    ]
