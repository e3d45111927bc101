"""Options of `rasa run`, with its names; and its way to read a command line.

argparse accepts several values for one `--cors`, and the beginning of an option's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

LIST = "--cors"
"""The option that takes any number of values."""


class RasaCommand(click.Command):
    """A command whose line may be that of `rasa run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [o for p in self.params for o in p.opts if o.startswith("--")]
        return super().parse_args(ctx, list(_one_value_each(_whole_names(args, options))))


def _whole_names(args: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, with abbreviated options written out."""
    for arg in args:
        name, equals, value = arg.partition("=")
        if name.startswith("--") and len(name) > 2 and name not in options:
            named = [option for option in options if option.startswith(name)]
            name = named[0] if len(named) == 1 else name
        yield f"{name}{equals}{value}"


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


cors = click.option(
    LIST,
    multiple=True,
    metavar="ORIGIN…",
    help="Let pages of these origins use the webhooks; * for all.  [default: bridge.cors]",
)
