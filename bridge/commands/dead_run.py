"""The work of `rasa-bridge dead`: ask, read the queues, show progress, report.

The first Ctrl+C ends a command in order: dead letters return to their queue as they were. The
second one ends it at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.commands.dead_view import (
    as_json,
    as_table,
    causes_table,
    described,
    group_as_json,
    options_of,
)
from bridge.dead_letters import causes, queue as dead_letter_queue
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Depths, Purge, nothing
from bridge.dead_letters.replay import Replay
from bridge.messages import DeadLetter
from bridge.runtime import role
from bridge.settings.files import BrokerSettings

T = TypeVar("T")
PROGRESS_FROM = 100
"""With more dead letters than this, a progress bar is shown."""
UNANSWERED = (
    "  {} of them were requests whose client no longer waits: their replies go to the channel's\n"
    "  reply queues; a channel without reply queues (rest) dead-letters them as replies"
)
FINISHING = "stopping; dead letters return in order; press Ctrl+C again to exit at once"


def list_letters(broker: BrokerSettings, wanted: Filter, limit: int, json_lines: bool) -> None:
    shown = 0

    def show(letters: list[DeadLetter], _: int | None) -> None:
        nonlocal shown
        shown = len(letters)
        if json_lines:
            for letter in letters:
                click.echo(as_json(letter))
        elif letters:
            Console(highlight=False).print(as_table(letters, time.time()))

    found = dead_letter_queue.first(broker.url, broker.topology(), wanted, limit, show)
    total = _run(found)
    if total > shown:
        click.echo(f"{total - shown:,} more: raise --limit to see them", err=json_lines)
    elif not total:
        click.echo(_nothing(wanted), err=json_lines)


def list_causes(broker: BrokerSettings, wanted: Filter, limit: int, json_lines: bool) -> None:
    topology = broker.topology()
    among = _run(dead_letter_queue.depths(broker.url, topology, wanted))
    with _progress() as bar:
        tick = bar("reading", sum(among.values()))
        groups = _run(causes.by_cause(broker.url, topology, wanted, among, tick))
    largest = groups.largest_first()
    if json_lines:
        for group in largest[:limit]:
            click.echo(group_as_json(group))
    elif largest:
        Console(highlight=False).print(causes_table(largest[:limit], time.time()))
        click.echo(f"\nreplay the first: rasa-bridge dead replay {options_of(largest[0])}")
    else:
        click.echo(_nothing(wanted))
    if len(largest) > limit:
        click.echo(f"{len(largest) - limit:,} more: raise --limit to see them", err=json_lines)
    if groups.others:
        click.echo(f"{groups.others:,} dead letters have further causes", err=True)


def show(broker: BrokerSettings, wanted: Filter, text: bool, body: bool) -> None:
    if not _run(_show(broker, wanted, text, body)):
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
    among = _run(dead_letter_queue.depths(broker.url, topology, wanted))
    if not yes and not dry_run:
        found = _run(dead_letter_queue.count(broker.url, topology, wanted, among))
        if found > 1:
            click.confirm(f"Replay {_letters(found)}?", abort=True)
    work = Replay(broker.url, topology, wanted, dry_run=dry_run)
    advance: list[Callable[[], None]] = []
    try:
        with _progress() as bar:
            read = bar("reading", sum(among.values()))

            def replayed() -> None:
                if not advance:
                    advance.append(bar("replaying", work.found))
                advance[0]()

            _run(work.run(among, read, replayed), work.stop)
    finally:
        _report_replay(work, wanted, among)
    if work.kept or work.unseen or not work.is_complete:
        raise SystemExit(1)


def _report_replay(work: Replay, wanted: Filter, among: Depths) -> None:
    if work.is_complete:
        click.echo(f"{'would replay' if work.dry_run else 'replayed'} {_letters(work.replayed)}")
    else:
        left = work.left if work.is_read else sum(among.values()) - work.replayed
        of = "left" if work.is_read or wanted.takes_all else "left, matching or not"
        click.echo(f"{work.replayed:,} replayed, {left:,} {of}")
    if work.unanswered:
        click.echo(UNANSWERED.format(work.unanswered))
    if work.kept:
        click.echo(f"kept {_letters(sum(work.kept.values()))}; see them with: dead list")
    for reason, number in work.kept.most_common():
        click.echo(f"{number:7,} {reason}")
    _report_unseen(work.unseen)


def purge(broker: BrokerSettings, wanted: Filter, *, dry_run: bool, yes: bool) -> None:
    topology = broker.topology()
    among = _run(dead_letter_queue.depths(broker.url, topology, wanted))
    most = None
    if dry_run or not yes:
        most = _run(dead_letter_queue.count(broker.url, topology, wanted, among))
    if dry_run or most == 0:
        click.echo(f"would delete {_letters(most or 0)}" if dry_run else _nothing(wanted))
        return
    if not yes:
        click.confirm(f"Permanently delete {_letters(most or 0)}?", abort=True)
    work = Purge(broker.url, topology, wanted)
    try:
        with _progress() as bar:
            tick = bar("purging", sum(among.values()))
            _run(work.run(among, most, tick), work.stop)
    finally:
        interrupted = "" if work.is_complete else "; interrupted, so run this again"
        click.echo(f"deleted {_letters(work.deleted)}{interrupted}")
        _report_unseen(work.unseen)
    if work.unseen or not work.is_complete:
        raise SystemExit(1)


def _report_unseen(unseen: int) -> None:
    if unseen:
        click.echo(f"not seen: {unseen:,}; another reader holds or removed them, so run this again")


def _run(main: Coroutine[Any, Any, T], stop: Callable[[], None] = nothing) -> T:
    """Run the work of a command; the first signal calls `stop`."""

    def end() -> None:
        stop()
        # Not click.echo: it writes into the line of a progress bar, which takes only `sys.stderr`.
        sys.stderr.write(f"{FINISHING}\n")

    async def stoppable() -> T:
        role.on_signals(end)
        return await main

    return role.run(stoppable())


Bar = Callable[[str, int], Callable[[], None]]
"""Name and total of a progress bar → the function that advances it."""


@contextmanager
def _progress() -> Iterator[Bar]:
    """Show progress bars for long work."""
    columns = TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn()
    bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))

    def bar(what: str, total: int) -> Callable[[], None]:
        if total <= PROGRESS_FROM:
            return nothing
        bars.start()
        shown = bars.add_task(what, total=total)
        return lambda: bars.advance(shown)

    try:
        yield bar
    finally:
        if bars.live.is_started:  # else it prints an empty line
            bars.stop()


def _letters(number: int) -> str:
    return "1 dead letter" if number == 1 else f"{number:,} dead letters"


def _nothing(wanted: Filter) -> str:
    return "no dead letters" if wanted.takes_all else "no dead letter matches"
