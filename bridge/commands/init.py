"""`rasa-bridge init`: what a Rasa project lacks, added to its two files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bridge.commands import options
from bridge.errors import SettingsError

if TYPE_CHECKING:
    from bridge.settings.initial import Change

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command("init")
@options.credentials
@options.endpoints
@click.option(
    "--url",
    metavar="AMQP_URL",
    help="Broker's AMQP URL to write; use '${AMQP_URL}' to keep a password out of the file."
    "  [default: none, so AMQP_URL or localhost applies]",
)
@click.option("-y", "--yes", is_flag=True, help="Write without asking.")
def command(credentials: str | None, endpoints: str | None, url: str | None, yes: bool) -> None:
    """Prepare a Rasa project: add what it lacks to its two files.

    Adds a section 'bridge' with the project's namespace, a SQL tracker store if conversations are
    kept in memory, and the channel 'rest' if there is none. Everything else in the files stays as
    it is, comments included. The command shows the changes and asks before it writes them.
    """
    from bridge.settings import initial

    changes = initial.changes(credentials, endpoints, url)
    for change in changes:
        click.echo("".join(_diff(change)), nl=False)
    if not changes:
        click.echo("nothing to add: there are channels, a tracker store and a bridge section")
    elif yes or _agreed():
        for change in changes:
            initial.write(change)
            click.echo(f"written: {change.path}")
    _next()


def _agreed() -> bool:
    try:
        agreed = click.confirm("Write this?", default=True)
    except click.Abort as error:
        click.echo()  # the question has no end of line
        raise SettingsError("nothing was written", fix="confirm it with --yes") from error
    if not agreed:
        raise SystemExit(1)
    return True


def _next() -> None:
    from bridge.runtime.imports import refuse_missing_rasa

    try:
        refuse_missing_rasa()
    except SettingsError as error:
        click.secho(f"rasa-bridge: {error}", fg="yellow", err=True)
    click.echo("next: rasa-bridge doctor, then rasa-bridge up")


def _diff(change: Change) -> Iterator[str]:
    """Yield the lines of a diff that `patch` accepts, coloured on a terminal."""
    before, after = _lines(change.before), _lines(change.after)
    names = (change.path if change.before else "/dev/null", change.path)
    for line in difflib.unified_diff(before, after, *names):
        text = line.rstrip("\r\n")
        bold = text.startswith(("+++", "---"))
        yield click.style(text, fg=COLOURS.get(text[:1]), bold=bold) + line[len(text) :]
        if not line.endswith("\n"):
            yield "\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Return the lines of a text with their ends, as `patch` counts them: each ends with \\n."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
