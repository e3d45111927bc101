"""`rasa-bridge dead list|show|replay|purge`."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.commands import options
from bridge.commands.dead_view import as_json, as_table, described
from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Depths, Purge
from bridge.dead_letters.replay import Replay
from bridge.messages import FLOWS, Flow
from bridge.runtime import role
from bridge.settings.files import BrokerSettings, load_broker
from bridge.telemetry import logs

F = TypeVar("F", bound=Callable[..., Any])

MANY = 100
"""Dead letters from which on a progress bar is shown."""
WAITED = (
    "  {} were requests that nobody waits for any more: their replies go to the channel's\n"
    "  reply queues; where it has none (rest) they are kept as dead letters of the replies"
)


def _age_option(name: str, help: str) -> Callable[[F], F]:
    return click.option(name, metavar="AGE", callback=options.age, help=help)


def filters(command: F) -> F:
    """Add the filters' options and pass on `wanted`, and `broker` of the endpoints file."""

    @click.option("--flow", type=click.Choice(FLOWS), help="Only of this flow.")
    @click.option("--channel", metavar="NAME", help="Only of this channel.")
    @click.option("--conversation", metavar="ID", help="Only of this conversation (sender id).")
    @click.option("--error", metavar="TEXT", help="Part of the error's class, or of the reason.")
    @_age_option("--older-than", "Only what was set aside longer ago, such as 10m, 2h or 1d.")
    @_age_option("--newer-than", "Only what was set aside since then.")
    @options.endpoints
    @functools.wraps(command)
    def with_filter(
        *,
        endpoints: str | None,
        older_than: float | None,
        newer_than: float | None,
        flow: Flow | None,
        channel: str | None,
        conversation: str | None,
        error: str | None,
        id: str | None,
        **kwargs: Any,
    ) -> Any:
        logs.configure("dead", logging.ERROR)
        now = time.time()
        wanted = Filter(
            flow,
            channel,
            conversation,
            error,
            id,
            before=None if older_than is None else now - older_than,
            after=None if newer_than is None else now - newer_than,
        )
        return command(broker=load_broker(endpoints), wanted=wanted, **kwargs)

    return with_filter  # type: ignore[return-value]


only_id = click.option("--id", metavar="ID", help="Only the one with this id.")
dry_run = click.option("--dry-run", is_flag=True, help="Change nothing, say what would be done.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group("dead")
def command() -> None:
    """List, show, replay or purge dead letters.

    A message that cannot be handled is set aside with the reason, and kept until it is replayed
    or purged. Without filters a command means all of them, of both flows: inbound (what users
    wrote) and replies (what the assistant answered).

    One reader at a time: what one of these commands looks at, another one does not see meanwhile.
    """


@command.command("list")
@only_id
@filters
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Show so many at most, the oldest first.",
)
@click.option("--json", "json_lines", is_flag=True, help="Print one JSON object a line.")
def list_letters(broker: BrokerSettings, wanted: Filter, limit: int, json_lines: bool) -> None:
    """List dead letters.

    They come in the order of their queues. No text of a message is shown, and of an error only
    its class.
    """
    letters, total = role.run(dead_letter_queue.first(broker.url, broker.topology(), wanted, limit))
    if json_lines:
        for letter in letters:
            click.echo(as_json(letter))
    elif letters:
        Console(highlight=False).print(as_table(letters, time.time()))
    if total > len(letters):
        click.echo(f"{total - len(letters)} more: show them with --limit", err=json_lines)
    elif not total:
        click.echo(_nothing(wanted), err=json_lines)


@command.command()
@click.argument("id")
@filters
@click.option("--text", is_flag=True, help="Show the message's text, too.")
@click.option("--body", is_flag=True, help="Show the message's whole body, too.")
def show(broker: BrokerSettings, wanted: Filter, text: bool, body: bool) -> None:
    """Show everything about one dead letter.

    The message itself is shown with --text or --body only; the error's own words are shown, and
    may quote it. An ID of "" finds those without one. The exit code is 1 if there is none.
    """
    if not role.run(_show(broker, wanted, text, body)):
        click.echo(_nothing(wanted), err=True)
        raise SystemExit(1)


async def _show(broker: BrokerSettings, wanted: Filter, text: bool, body: bool) -> int:
    topology = broker.topology()
    among = await dead_letter_queue.depths(broker.url, topology, wanted)
    shown = 0
    async for letter, delivery in dead_letter_queue.scan(broker.url, topology, wanted, among):
        shown += 1
        for line in described(letter, delivery, time.time(), text=text, body=body):
            click.echo(line)
    return shown


@command.command()
@only_id
@filters
@dry_run
@yes
def replay(broker: BrokerSettings, wanted: Filter, dry_run: bool, yes: bool) -> None:
    """Put dead letters back on their queues.

    A message goes back to its conversation's queue, a reply to its recipient's. They keep their id
    and, within a conversation, their order; they come after what waits there already. Each is
    confirmed there before it is deleted here: a replay may be interrupted and run again. What
    cannot be replayed is kept (undecodable ones, and where the queue is full or there is none),
    and with it what follows in its conversation. The exit code is then 1.

    \b
    A message whose request waited for the replies (rest): that request was
    answered with an error long ago. Its turn runs, but nobody is there to get
    the replies. They go to the channel's reply queues; where it has none they
    become dead letters of the flow 'replies', error Unroutable, to be read with
    'dead show --text' and purged; replaying those keeps them where they are.
    """
    topology = broker.topology()
    among = role.run(dead_letter_queue.depths(broker.url, topology, wanted))
    if not yes and not dry_run:
        found = role.run(dead_letter_queue.count(broker.url, topology, wanted, among))
        if found > 1:
            click.confirm(f"Replay {_letters(found)}?", abort=True)
    work = Replay(broker.url, topology, wanted, dry_run=dry_run)
    try:
        with _progress("replaying", among) as tick:
            role.run(work.run(among, tick))
    finally:
        _report(work, "would replay" if dry_run else "replayed")
    if work.kept or work.unseen:
        raise SystemExit(1)


def _report(work: Replay, done: str) -> None:
    click.echo(f"{done} {_letters(work.replayed)}")
    if work.unanswered:
        click.echo(WAITED.format(work.unanswered))
    if work.kept:
        click.echo(f"kept {_letters(sum(work.kept.values()))}, see them with: dead list")
    for reason, number in work.kept.most_common():
        click.echo(f"{number:7} {reason}")
    _report_unseen(work.unseen)


@command.command()
@only_id
@filters
@dry_run
@yes
def purge(broker: BrokerSettings, wanted: Filter, dry_run: bool, yes: bool) -> None:
    """Delete dead letters for good.

    Those that do not match stay, in their order. Without --yes it says how many, and asks.
    """
    topology = broker.topology()
    among = role.run(dead_letter_queue.depths(broker.url, topology, wanted))
    most = None
    if dry_run or not yes:
        most = role.run(dead_letter_queue.count(broker.url, topology, wanted, among))
    if dry_run or most == 0:
        click.echo(f"would delete {_letters(most or 0)}" if dry_run else _nothing(wanted))
        return
    if not yes:
        click.confirm(f"Delete {_letters(most or 0)} for good?", abort=True)
    work = Purge(broker.url, topology, wanted)
    try:
        with _progress("purging", among) as tick:
            role.run(work.run(among, most, tick))
    finally:
        click.echo(f"deleted {_letters(work.deleted)}")
        _report_unseen(work.unseen)
    if work.unseen:
        raise SystemExit(1)


def _report_unseen(unseen: int) -> None:
    if unseen:
        click.echo(f"not seen: {unseen}; somebody else reads or has taken them: run it again")


@contextmanager
def _progress(what: str, among: Depths) -> Iterator[Callable[[], None]]:
    """Show how many were looked at, if they are many; yields what to call for each."""
    total = sum(among.values())
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    bar = Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=total <= MANY
    )
    with bar:
        shown = bar.add_task(what, total=total)
        yield lambda: bar.advance(shown)


def _letters(number: int) -> str:
    return f"{number} dead letter" if number == 1 else f"{number} dead letters"


def _nothing(wanted: Filter) -> str:
    return "no dead letters" if wanted.takes_all else "no dead letter matches"
