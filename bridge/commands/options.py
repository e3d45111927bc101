"""Command-line options that several commands share; named as those of `rasa run`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.retry import RetryPolicy

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


def verbosity(command: F) -> F:
    """Add -v and --debug and pass them on as `level`, a level of `logging`."""

    @click.option("-v", "--verbose", is_flag=True, help="Log more (this is the default level).")
    @click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
    @click.option("--debug", is_flag=True, help="Log everything.")
    @functools.wraps(command)
    def with_level(*args: Any, verbose: bool, quiet: bool, debug: bool, **kwargs: Any) -> Any:
        level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
        return command(*args, level=level, **kwargs)

    return with_level  # type: ignore[return-value]
