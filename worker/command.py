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
from bridge.runtime.processes import Program, Supervisor
from bridge.settings.files import DEFAULT_ENDPOINTS, BrokerSettings, load_broker
from bridge.telemetry import logs, metrics
from worker.handler import load_handler
from worker.rasa_server import server_handler
from worker.role import work

log = logging.getLogger(__name__)

TURN_TIMEOUT = 300.0
"""Seconds that a turn on a Rasa server may take."""
IN_MEMORY = (
    "the tracker store is in memory: another worker knows nothing of these conversations, and a"
    " restart forgets them. Add a 'tracker_store' (SQL, Redis, MongoDB) to endpoints.yml"
)


@click.command("worker")
@click.option(
    "-m",
    "--model",
    default="models",
    show_default=True,
    help="Trained model: a file, or a folder whose newest one is taken.",
)
@options.endpoints
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Worker processes; a turn of Rasa keeps one core busy.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Conversations at a time, per process.",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, 2000),
    default=16,
    show_default=True,
    help="Unsettled messages held, per partition.",
)
@click.option(
    "--handler", metavar="MODULE:FUNCTION", help="Run this async function instead of an assistant."
)
@click.option(
    "--rasa-url", metavar="URL", help="Send the turns to a running Rasa server's REST channel."
)
@options.retry_for
@options.grace
@options.metrics(
    "Serve Prometheus /metrics on this port; with --processes N, on N ports from it on."
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
    """Run the assistant's turns for the messages on the queue.

    Start as many as you like, on as many machines: each takes over its share of the
    conversations, and every conversation stays in order. The messages are taken only once the
    model is loaded.
    """
    if handler and rasa_url:
        raise SettingsError("--handler and --rasa-url exclude each other")
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
    # Both are looked for before rasa is imported, which takes seconds.
    if find_spec("rasa") is None:
        raise _no_rasa("no module named 'rasa'")
    if not Path(model).exists():  # noqa: ASYNC240
        raise SettingsError(
            f"{model}: no such model: train one with 'rasa train', or name it with -m"
        )
    log.info("loading the assistant")
    # Sanic 21.12 turns these on; those of rasa's libraries would bury the log's first lines.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        from worker import agent as rasa_agent
    except ImportError as error:
        raise _no_rasa(error) from error
    agent = await rasa_agent.load(model, _rasa_endpoints(endpoints), level)
    if not rasa_agent.has_shared_trackers(agent):
        log.warning(IN_MEMORY)
    await work(broker, rasa_agent.agent_handler(agent), rasa_agent.AssistantOutput, **limits)


def _no_rasa(why: object) -> SettingsError:
    return SettingsError(
        f"rasa cannot be imported ({why}): pip install 'rasa-channel-bridge[rasa]' on"
        " Python 3.10, or use --handler or --rasa-url"
    )


def _rasa_endpoints(endpoints: str | None) -> str | None:
    """The endpoints file, if there is one: Rasa ends the process at a name that is no file."""

    path = endpoints or DEFAULT_ENDPOINTS
    return path if Path(path).is_file() else None


def _children(processes: int, metrics_port: int | None) -> list[Program]:
    """The same command line, once a process (click takes the last one of an option)."""
    command = [sys.executable, "-m", "bridge", *sys.argv[1:], "--processes", "1"]
    return [
        Program(f"worker.{n}", [*command, *([] if port is None else ["--metrics-port", str(port)])])
        for n, port in enumerate(options.successive(metrics_port, processes), start=1)
    ]
