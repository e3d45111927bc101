"""`rasa-bridge up`: all roles in one terminal."""

from __future__ import annotations

import sys

import click

from bridge.commands import options


@click.command("up")
@click.option(
    "-m",
    "--model",
    default="models",
    show_default=True,
    help="Trained model: a file, or a folder, of which the newest model is used.",
)
@options.credentials
@options.endpoints
@options.webhook_port
@options.webhook_interface
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of workers."
)
@click.option("--handler", metavar="MODULE:FUNCTION", help="As for the 'worker' command.")
@click.option("--rasa-url", metavar="URL", help="As for the 'worker' command.")
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
    credentials: str | None,
    endpoints: str | None,
    port: int,
    interface: str,
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

    Ctrl-C stops all of them.

    For development. In production, start each role separately, so that you can scale it
    separately.
    """
    from bridge.connectors.registry import load_channels
    from bridge.runtime import role
    from bridge.runtime.processes import Program, Supervisor, bridge_command
    from bridge.settings.files import credentials_file, load_broker, load_credentials
    from bridge.telemetry import logs

    # Checked here, so that a mistake is reported once instead of once per role.
    load_channels(load_credentials(credentials), credentials_file(credentials))
    load_broker(endpoints)
    logs.configure("up", level)
    shared = [*_given("--endpoints", endpoints), *_flags(level)]
    common = ["--grace", str(grace), "--metrics-host", metrics_host, *shared]
    channels = _given("--credentials", credentials)
    edges = [*common, *channels]
    turns = ["--model", model, *_given("--handler", handler), *_given("--rasa-url", rasa_url)]
    turns += ["--turn-timeout", str(turn_timeout)]
    webhook = ["webhook", "--port", str(port), "--interface", interface]
    names = ["worker"] if workers == 1 else [f"worker.{n}" for n in range(1, workers + 1)]
    commands = {
        "webhook": [*webhook, *edges],
        **{name: ["worker", *turns, *common] for name in names},
        "deliver": ["deliver", *edges],
    }
    ports = options.successive(metrics_port, len(commands))
    programs = [
        Program(name, bridge_command(*command, *_given("--metrics-port", port)))
        for (name, command), port in zip(commands.items(), ports, strict=True)
    ]
    if monitor_port:
        monitor = ["monitor", "--port", str(monitor_port), *shared, *channels]
        programs.append(Program("monitor", bridge_command(*monitor)))
    sys.exit(role.run(Supervisor(programs, grace).run()))


def _given(option: str, value: object) -> list[str]:
    return [] if value is None else [option, str(value)]


def _flags(level: int) -> list[str]:
    return {10: ["--debug"], 30: ["--quiet"]}.get(level, [])
