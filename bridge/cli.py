"""`rasa-bridge`: the list of commands. A command's module is imported when the command runs."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import bridge
from bridge.errors import BridgeError, SettingsError
from bridge.runtime.imports import claim_names
from bridge.telemetry.terminal import accept_any_text, colours

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """Where a command lives, and its line in the list of commands."""

    module: str
    """Defines a click command named `command`."""
    help: str
    """The command's own short help, so that `--help` imports no command."""


COMMANDS = {
    "init": Entry(
        "bridge.commands.init", "Prepare a Rasa project: add what it lacks to its two files."
    ),
    "webhook": Entry(
        "bridge.commands.webhook", "Receive messages from the channels and queue them."
    ),
    "worker": Entry(
        "worker.command", "Take messages from the queue and run the assistant's turns."
    ),
    "deliver": Entry(
        "bridge.commands.deliver", "Send the assistant's replies to the external services."
    ),
    "up": Entry("bridge.commands.up", "Run webhook, worker and deliver in one terminal."),
    "send": Entry("bridge.commands.send", "Send TEXT to the assistant and print each reply."),
    "status": Entry(
        "bridge.commands.status", "Show queue depth, oldest message age, rates and consumers."
    ),
    "top": Entry("bridge.commands.top", "Show 'status' live, refreshed every two seconds."),
    "monitor": Entry(
        "bridge.commands.monitor", "Serve a live web page with the queues and dead letters."
    ),
    "pause": Entry(
        "bridge.commands.pause", "Pause the inbound flow or the replies, until 'resume'."
    ),
    "resume": Entry("bridge.commands.resume", "End a pause, or probe a service that is down."),
    "trace": Entry(
        "bridge.commands.trace", "Show what happened to one message, hop by hop, with durations."
    ),
    "dead": Entry("bridge.commands.dead", "List, show, replay or purge dead letters."),
    "channels": Entry(
        "bridge.commands.channels", "List each channel's URL, authentication and reply queues."
    ),
    "topology": Entry(
        "bridge.commands.topology", "Declare, check, delete or resize exchanges and queues."
    ),
    "doctor": Entry(
        "bridge.commands.doctor", "Check settings, broker and assistant, and suggest fixes."
    ),
}
"""Command → entry. `worker.command` is text here because `bridge` never imports `worker`."""


COMMANDS_OF_RASA = (
    *("data", "evaluate", "export", "interactive", "run", "shell", "telemetry", "test", "train"),
    *("visualize", "x"),
)
"""Beside `init`, which both have."""


class LazyGroup(click.Group):
    """Imports a command's module only to run it or to print its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name].module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in COMMANDS_OF_RASA:
            actions = args[0] == "run" and "actions" in args
            if args[0] == "run" and not actions:
                ctx.fail("No such command 'run'; 'rasa-bridge up' takes the options of 'rasa run'.")
            line = "run actions" if actions else args[0]
            ctx.fail(f"'{line}' is a command of Rasa: write 'rasa {line}', as before.")
        close = [] if args[0] in COMMANDS else difflib.get_close_matches(args[0], COMMANDS, n=1)
        if close:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # click's own imports every command, for its help: a second of CPU time with each TAB.
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.help)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # With the options of this group; click.Group would list the commands again.
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bridge.__version__, prog_name="rasa-bridge")
def cli() -> None:
    """Queue-backed channels for a Rasa assistant.

    \b
    provider → webhook → RabbitMQ → worker → RabbitMQ → deliver → provider

    'rasa-bridge up' starts every role in one terminal. In production, run each role as a
    separate process. The commands read the Rasa project's endpoints.yml and credentials.yml.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a `BridgeError` becomes one line on stderr.

    The exit code is 2 for a wrong setting and 1 for any other error.
    """
    claim_names()
    accept_any_text()
    try:
        return cli.main(args=arguments, prog_name="rasa-bridge", color=colours())
    except BridgeError as error:
        click.secho(f"rasa-bridge: {error}", fg="red", err=True, color=colours())
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    finally:
        # The interpreter waits for the threads of a handler, such as a hanging request. Commands
        # that run no role never import the module, and have no threads.
        health = sys.modules.get("bridge.runtime.health")
        if health is not None:
            health.process.must_end()
