"""`rasa-bridge dead list|show|replay|purge`: the options. `dead_run` does the work."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bridge.commands import options
from bridge.commands.values import Channel
from bridge.dead_letters.filter import Filter
from bridge.messages import FLOWS, Flow
from bridge.telemetry import logs

if TYPE_CHECKING:
    from bridge.settings.files import BrokerSettings

F = TypeVar("F", bound=Callable[..., Any])


def _age_option(name: str, help: str) -> Callable[[F], F]:
    return click.option(name, metavar="AGE", callback=options.age, help=help)


def filters(command: F) -> F:
    """Add the filter options and --endpoints.

    The command receives them, and its own `id`, as `wanted` (a Filter) and `broker`.
    """

    @click.option("--flow", type=click.Choice(FLOWS), help="Only this flow.")
    @click.option("--channel", type=Channel(), metavar="NAME", help="Only this channel.")
    @click.option("--conversation", metavar="ID", help="Only this conversation (sender id).")
    @click.option(
        "--error",
        metavar="TEXT",
        help="Only if the error class, the HTTP status or the reason contains TEXT.",
    )
    @click.option("--reason", metavar="REASON", help="Only this reason.")
    @click.option(
        "--cause", metavar="CAUSE", help="Only this HTTP status ('HTTP 503') or error class."
    )
    @_age_option("--older-than", "Only if dead-lettered more than AGE ago, such as 10m, 2h or 1d.")
    @_age_option("--newer-than", "Only if dead-lettered less than AGE ago.")
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
        reason: str | None,
        cause: str | None,
        id: str | None,
        **kwargs: Any,
    ) -> Any:
        from bridge.settings.files import load_broker

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
            reason=reason,
            cause=cause,
        )
        return command(broker=load_broker(endpoints), wanted=wanted, **kwargs)

    return with_filter  # type: ignore[return-value]


only_id = click.option("--id", metavar="ID", help="Only the message with this id.")
dry_run = click.option(
    "--dry-run", is_flag=True, help="Change nothing; print how many would be affected."
)
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.group("dead")
def command() -> None:
    """List, show, replay or purge dead letters.

    A message that cannot be handled is dead-lettered with the reason, and kept until it is
    replayed or purged. Without filters, these commands apply to all dead letters of both flows:
    inbound (what users wrote) and replies (what the assistant answered).

    Run one of these commands at a time: messages that one of them is reading are invisible to
    the others.
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
    help="Show at most N.",
)
@click.option("--by", type=click.Choice(["cause"]), help="Show groups with their counts.")
@click.option("--json", "json_lines", is_flag=True, help="Print one JSON object per line.")
def list_letters(
    broker: BrokerSettings, wanted: Filter, limit: int, by: str | None, json_lines: bool
) -> None:
    """List dead letters in queue order.

    Message texts are not shown, and of each error only the HTTP status or the class.

    With --by cause, dead letters of the same channel, reason and error are one line, the most
    frequent first. The options that select a group work with all commands.

    The list changes nothing on the queues. With many dead letters, that takes longer than the list
    itself: the command ends when all of them are back in order.
    """
    from bridge.commands import dead_run

    listed = dead_run.list_causes if by else dead_run.list_letters
    listed(broker, wanted, limit, json_lines)


@command.command()
@click.argument("id")
@filters
@click.option("--text", is_flag=True, help="Also show the message text.")
@click.option("--body", is_flag=True, help="Also show the complete message body.")
def show(broker: BrokerSettings, wanted: Filter, text: bool, body: bool) -> None:
    """Show the details of one dead letter.

    The message is shown only with --text or --body. The error text is always shown, and may
    quote the message. Use "" as ID to find messages without one. The exit code is 1 if nothing
    matches.
    """
    from bridge.commands import dead_run

    dead_run.show(broker, wanted, text, body)


@command.command()
@only_id
@filters
@dry_run
@yes
def replay(broker: BrokerSettings, wanted: Filter, dry_run: bool, yes: bool) -> None:
    """Put dead letters back on their queues.

    An inbound message returns to its conversation's queue, a reply to its recipient's queue.
    They keep their ids, follow the messages already waiting there, and are sorted within each
    conversation by the time at which they were received, whatever their order among the dead
    letters is. RabbitMQ confirms each message on its queue before the dead letter is deleted.
    Ctrl+C ends a replay after the messages in flight; run it again for the others.

    Some dead letters cannot be replayed: undecodable ones, and those whose queue is full or
    missing. They are kept, together with the dead letters that follow in the same conversation,
    and the exit code is 1.

    Requests that waited for their replies (channel rest) were answered with an error long ago.
    Replaying one runs its turn, but no client is waiting. Its replies go to the channel's reply
    queues. A channel without reply queues, such as rest, turns them into dead letters of flow
    'replies' with error Unroutable: read them with 'dead show --text', then purge them. Replaying
    those has no effect.
    """
    from bridge.commands import dead_run

    dead_run.replay(broker, wanted, dry_run=dry_run, yes=yes)


@command.command()
@only_id
@filters
@dry_run
@yes
def purge(broker: BrokerSettings, wanted: Filter, dry_run: bool, yes: bool) -> None:
    """Delete dead letters permanently.

    Dead letters that do not match stay, in order. Without --yes, the command prints how many
    match and asks for confirmation.
    """
    from bridge.commands import dead_run

    dead_run.purge(broker, wanted, dry_run=dry_run, yes=yes)
