"""The options of every role that say what is logged, how, and where."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.commands.rasa_run import ignored
from bridge.commands.values import FILE
from bridge.telemetry import log_targets, logs

F = TypeVar("F", bound=Callable[..., Any])

LEVEL = "LOG_LEVEL"
"""Environment variable of Rasa: the level if no option sets it."""


def verbosity(command: F) -> F:
    """Add the logging options of `rasa run`, and --log-format.

    The command receives `level`, a level of `logging`. What child processes need is passed through
    the environment.
    """

    def use(_: click.Context, __: click.Parameter, value: str) -> None:
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
        help="'console' for readable lines, 'json' for one JSON object per line.",
    )
    @_targets
    @ignored("--logging-config-file", "use --debug, --quiet, --log-file, --use-syslog")
    @click.option(
        "-v", "--verbose", count=True, help="Log at level INFO (the default); -vv: DEBUG."
    )
    @click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
    @click.option("--debug", is_flag=True, help="Log at level DEBUG.")
    @functools.wraps(command)
    def with_level(*args: Any, verbose: int, quiet: bool, debug: bool, **kwargs: Any) -> Any:
        return command(*args, level=_level(verbose, quiet, debug), **kwargs)

    return with_level  # type: ignore[return-value]


def _level(verbose: int, quiet: bool, debug: bool) -> int:
    if debug or verbose > 1:
        return logging.DEBUG
    if quiet:
        return logging.WARNING
    level = logging.getLevelName(os.environ.get(LEVEL, "INFO").upper())
    return level if isinstance(level, int) and not verbose else logging.INFO


def _targets(command: F) -> F:
    @click.option("--log-file", type=FILE, metavar="FILE", help="Also append the log to this file.")
    @click.option("--use-syslog", is_flag=True, help="Also send the log to syslog.")
    @click.option(
        "--syslog-address",
        default="localhost",
        show_default=True,
        metavar="HOST",
        help="Host of the syslog server.",
    )
    @click.option(
        "--syslog-port",
        type=click.IntRange(1, 65535),
        default=514,
        show_default=True,
        metavar="PORT",
        help="Port of the syslog server.",
    )
    @click.option(
        "--syslog-protocol",
        type=click.Choice(["UDP", "TCP"], case_sensitive=False),
        default="UDP",
        show_default=True,
        help="Protocol of the syslog server.",
    )
    @functools.wraps(command)
    def with_targets(
        *args: Any,
        log_file: str | None,
        use_syslog: bool,
        syslog_address: str,
        syslog_port: int,
        syslog_protocol: str,
        **kwargs: Any,
    ) -> Any:
        if log_file:
            os.environ[log_targets.FILE] = os.path.abspath(log_file)
        if use_syslog:
            host = f"[{syslog_address}]" if ":" in syslog_address else syslog_address
            os.environ[log_targets.SYSLOG] = f"{syslog_protocol.lower()}://{host}:{syslog_port}"
        return command(*args, **kwargs)

    return with_targets  # type: ignore[return-value]
