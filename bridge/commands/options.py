"""Options shared by several commands, named as in `rasa run` where it has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from bridge.commands.logging_options import verbosity as verbosity
from bridge.commands.rasa_line import Port
from bridge.commands.values import FILE, Seconds
from bridge.errors import SettingsError
from bridge.runtime.durations import parse_age
from bridge.runtime.retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])

GRACE = 30.0
WIDTH = 100
"""Columns of printed tables at most, however wide the terminal is."""

endpoints = click.option(
    "--endpoints",
    type=FILE,
    metavar="FILE",
    help="Rasa's endpoints file; section 'bridge' holds the broker's URL.  [default:"
    " endpoints.yml]",
)
credentials = click.option(
    "--credentials",
    type=FILE,
    metavar="FILE",
    help="Rasa's credentials file, one section per channel.  [default: credentials.yml]",
)
webhook_port = click.option(
    "-p",
    "--port",
    type=Port(),
    default=5005,
    show_default=True,
    metavar="PORT",
    help="Port for the webhooks.",
)
webhook_interface = click.option(
    "-i",
    "--interface",
    default="0.0.0.0",  # noqa: S104 - as `rasa run`
    show_default=True,
    metavar="ADDRESS",
    help="Address for the webhooks.",
)


def http_url(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check that an option's value is a complete URL; for use as a click `callback`."""
    if value is None or ctx.resilient_parsing:  # the latter while a command line is completed
        return value
    from bridge.settings.sections import http_url as checked

    return checked(param.opts[0], value)


management_url = click.option(
    "--management-url",
    metavar="URL",
    callback=http_url,
    envvar="RASA_BRIDGE_MANAGEMENT_URL",
    help="RabbitMQ management API.  [default: port 15672 of the broker's host, if it answers]",
)
grace = click.option(
    "--grace",
    type=Seconds(min=0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="How long work in flight may take to finish after SIGTERM or Ctrl-C.",
)
turn_timeout = click.option(
    "--turn-timeout",
    type=Seconds(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long one attempt at a turn may take. After three, the message is dead-lettered.",
)
retry_for = click.option(
    "--retry-for",
    type=Seconds(min=0),
    default=RetryPolicy.max_age,
    show_default=True,
    metavar="SECONDS",
    help="How long to keep retrying a failing message before it is dead-lettered.",
)


def age(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return an option's value such as `10m` in seconds; for use as a click `callback`."""
    try:
        return None if value is None else parse_age(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def metrics(help: str = "Serve Prometheus /metrics on this port.") -> Callable[[F], F]:
    """Add --metrics-port and --metrics-host, for `bridge.http.probes.serve`."""
    port = click.option(
        "--metrics-port",
        type=Port(),
        metavar="PORT",
        help=f"{help}  [default: none]",
    )
    host = click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Address for the metrics port. There is no authentication: expose it to Prometheus"
        " only.",
    )
    return lambda command: port(host(command))


def successive(first: int | None, count: int) -> Sequence[int | None]:
    """Return `count` metrics ports, from `first` on; all None if `first` is.

    Raises:
        SettingsError: the range would go past port 65535.
    """
    if first is None:
        return [None] * count
    if first + count - 1 > 65535:
        raise SettingsError(
            f"--metrics-port {first}: {count} processes need {count} ports, and 65535 is the last",
            fix="choose a lower port",
        )
    return range(first, first + count)
