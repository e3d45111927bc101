"""Command-line options that several commands share; named as those of `rasa run`."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from bridge.errors import SettingsError
from bridge.runtime.durations import parse_age
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import logs

F = TypeVar("F", bound=Callable[..., Any])

GRACE = 30.0

endpoints = click.option(
    "--endpoints",
    metavar="FILE",
    help="Rasa's endpoints file; its section 'bridge' names the broker.  [default: endpoints.yml]",
)
credentials = click.option(
    "--credentials",
    metavar="FILE",
    help="Rasa's credentials file: one section a channel.  [default: credentials.yml]",
)
webhook_port = click.option(
    "-p",
    "--port",
    type=click.IntRange(1, 65535),
    default=5005,
    show_default=True,
    help="Port of the webhooks.",
)
webhook_interface = click.option(
    "-i",
    "--interface",
    default="0.0.0.0",  # noqa: S104 - as `rasa run`
    show_default=True,
    help="Address of the webhooks.",
)
grace = click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Time that running work has to finish after SIGTERM or Ctrl-C.",
)
retry_for = click.option(
    "--retry-for",
    type=click.FloatRange(min=0),
    default=RetryPolicy.max_age,
    show_default=True,
    metavar="SECONDS",
    help="Try a failing one again for so long, then set it aside as a dead letter.",
)


def age(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Turn the value of an option such as `10m` into seconds; for `callback`."""
    try:
        return None if value is None else parse_age(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def metrics(help: str = "Serve Prometheus /metrics on this port.") -> Callable[[F], F]:
    """Add --metrics-port and --metrics-host, for `bridge.telemetry.metrics.serve`."""
    port = click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help=f"{help}  [default: none]",
    )
    host = click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Address of that port. It asks nobody who they are: open it to Prometheus alone.",
    )
    return lambda command: port(host(command))


def successive(first: int | None, count: int) -> Sequence[int | None]:
    """Return one metrics port a process, from the first one on.

    Raises:
        SettingsError: there are not so many ports.
    """
    if first is None:
        return [None] * count
    if first + count - 1 > 65535:
        raise SettingsError(f"--metrics-port {first}: there are no {count} ports from there on")
    return range(first, first + count)


def verbosity(command: F) -> F:
    """Add -v and --debug and pass them on as `level`, a level of `logging`; and --log-format."""

    def use(_: click.Context, __: click.Parameter, value: str) -> None:
        # By the environment, so that it holds for the processes that this one starts, too.
        os.environ[logs.FORMAT] = value

    @click.option(
        "--log-format",
        type=click.Choice(logs.FORMATS),
        default="console",
        envvar=logs.FORMAT,
        show_default=True,
        show_envvar=True,
        expose_value=False,
        callback=use,
        help="Log lines for people, or JSON for machines.",
    )
    @click.option("-v", "--verbose", is_flag=True, help="Log more (this is the default level).")
    @click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
    @click.option("--debug", is_flag=True, help="Log everything.")
    @functools.wraps(command)
    def with_level(*args: Any, verbose: bool, quiet: bool, debug: bool, **kwargs: Any) -> Any:
        level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
        return command(*args, level=level, **kwargs)

    return with_level  # type: ignore[return-value]
