"""Reads a command line as `rasa run` does, and says what to write instead of what is wrong in it.

argparse accepts several values for one `--cors`, and the beginning of an option's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

LIST = "--cors"
"""The option that takes any number of values."""
OF_RASA = {
    *("--auth-token", "--connector", "--cors", "--credentials"),
    *("--debug", "--enable-api", "--endpoints", "--help"),
    *("--interface", "--jwt-method", "--jwt-private-key", "--jwt-secret"),
    *("--log-file", "--logging-config-file", "--model", "--port"),
    *("--quiet", "--remote-storage", "--request-timeout", "--response-timeout"),
    *("--ssl-ca-file", "--ssl-certificate", "--ssl-keyfile", "--ssl-password"),
    *("--syslog-address", "--syslog-port", "--syslog-protocol", "--use-syslog"),
    *("--verbose",),
}
"""The options of `rasa run`: the beginning of a name means one of these, not one of ours."""
INSTEAD = {
    "--host": "write -i or --interface",
    "--num-threads": "leave it out: start more workers",
    "--num_threads": "leave it out: start more workers",
    "-d": "write -m and the trained model, which holds dialogue and NLU",
    "--core": "write -m and the trained model, which holds dialogue and NLU",
    "-u": "write -m and the trained model, which holds dialogue and NLU",
    "--nlu": "write -m and the trained model, which holds dialogue and NLU",
}
"""Options of older start commands, and `--host`, which Rasa never had."""
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
"""Word processors and web pages make one of the others of two hyphens."""
VARIABLE = re.compile(r"\$\{?\w")


class RasaCommand(click.Command):
    """A command whose line may be that of `rasa run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for arg in args:
            name = arg.lstrip(DASHES)
            if arg[: len(arg) - len(name)].strip("-"):
                hyphens = "--" if len(name) > 1 else "-"
                ctx.fail(f"'{arg}' begins with a dash that is no hyphen; write {hyphens}{name}")
        options = [o for p in self.params for o in p.opts if o.startswith("--")]
        try:
            return super().parse_args(ctx, list(_one_value_each(_whole_names(args, options))))
        except click.NoSuchOption as error:
            if error.option_name not in INSTEAD:
                raise
            ctx.fail(f"No such option '{error.option_name}'; {INSTEAD[error.option_name]}")


class Port(click.IntRange):
    """A port, 1 to 65535."""

    def __init__(self) -> None:
        super().__init__(1, 65535)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and not value.isdigit():
            why = "write one number"
            if VARIABLE.search(value):
                why = "a shell replaces variables; in a Dockerfile, write CMD without brackets"
            self.fail(f"'{value}' is not a port: {why}", param, ctx)
        port: int = super().convert(value, param, ctx)
        return port


def _whole_names(args: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, with abbreviated options written out."""
    for arg in args:
        name, equals, value = arg.partition("=")
        if name.startswith("--") and len(name) > 2 and name not in options:
            named = _beginning_with(name, OF_RASA.intersection(options))
            named = named or _beginning_with(name, options)
            name = named[0] if len(named) == 1 else name
        yield f"{name}{equals}{value}"


def _beginning_with(text: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(text)]


def _one_value_each(args: Iterator[str]) -> Iterator[str]:
    """Yield the arguments, with one `--cors` before each of its values."""
    listing = False
    for arg in args:
        if arg == LIST:
            listing = True
            continue
        listing = listing and not arg.startswith("-")
        if listing:
            yield LIST
        yield arg
