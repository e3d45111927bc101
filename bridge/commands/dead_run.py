"""The work of `rasa-bridge dead`: ask, read the queues, show progress, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.commands.dead_view import as_json, as_table, described
from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Depths, Purge
from bridge.dead_letters.replay import Replay
from bridge.runtime import role
from bridge.settings.files import BrokerSettings

PROGRESS_FROM = 100
"""With more dead letters than this, a progress bar is shown."""
UNANSWERED = (
    "  {} of them were requests whose client no longer waits: their replies go to the channel's\n"
    "  reply queues; a channel without reply queues (rest) dead-letters them as replies"
)


def list_letters(broker: BrokerSettings, wanted: Filter, limit: int, json_lines: bool) -> None:
    letters, total = role.run(dead_letter_queue.first(broker.url, broker.topology(), wanted, limit))
    if json_lines:
        for letter in letters:
            click.echo(as_json(letter))
    elif letters:
        Console(highlight=False).print(as_table(letters, time.time()))
    if total > len(letters):
        click.echo(f"{total - len(letters)} more: raise --limit to see them", err=json_lines)
    elif not total:
        click.echo(_nothing(wanted), err=json_lines)


def show(broker: BrokerSettings, wanted: Filter, text: bool, body: bool) -> None:
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


def replay(broker: BrokerSettings, wanted: Filter, *, dry_run: bool, yes: bool) -> None:
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
        _report_replay(work, "would replay" if dry_run else "replayed")
    if work.kept or work.unseen:
        raise SystemExit(1)


def _report_replay(work: Replay, done: str) -> None:
    click.echo(f"{done} {_letters(work.replayed)}")
    if work.unanswered:
        click.echo(UNANSWERED.format(work.unanswered))
    if work.kept:
        click.echo(f"kept {_letters(sum(work.kept.values()))}; see them with: dead list")
    for reason, number in work.kept.most_common():
        click.echo(f"{number:7} {reason}")
    _report_unseen(work.unseen)


def purge(broker: BrokerSettings, wanted: Filter, *, dry_run: bool, yes: bool) -> None:
    topology = broker.topology()
    among = role.run(dead_letter_queue.depths(broker.url, topology, wanted))
    most = None
    if dry_run or not yes:
        most = role.run(dead_letter_queue.count(broker.url, topology, wanted, among))
    if dry_run or most == 0:
        click.echo(f"would delete {_letters(most or 0)}" if dry_run else _nothing(wanted))
        return
    if not yes:
        click.confirm(f"Permanently delete {_letters(most or 0)}?", abort=True)
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
        click.echo(f"not seen: {unseen}; another reader holds or removed them, so run this again")


@contextmanager
def _progress(what: str, among: Depths) -> Iterator[Callable[[], None]]:
    """Show a progress bar if there are many dead letters; yield the function that advances it."""
    total = sum(among.values())
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=total <= PROGRESS_FROM,
    )
    with bar:
        shown = bar.add_task(what, total=total)
        yield lambda: bar.advance(shown)


def _letters(number: int) -> str:
    return f"{number} dead letter" if number == 1 else f"{number} dead letters"


def _nothing(wanted: Filter) -> str:
    return "no dead letters" if wanted.takes_all else "no dead letter matches"
