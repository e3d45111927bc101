"""`rasa-bridge`: every command by name; each is imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

import bridge
from bridge.errors import BridgeError, SettingsError
from bridge.runtime.imports import claim_names

COMMANDS = {
    "webhook": "bridge.commands.webhook",
    "worker": "worker.command",
    "deliver": "bridge.commands.deliver",
    "up": "bridge.commands.up",
    "send": "bridge.commands.send",
    "status": "bridge.commands.status",
    "top": "bridge.commands.top",
    "monitor": "bridge.commands.monitor",
    "dead": "bridge.commands.dead",
    "channels": "bridge.commands.channels",
    "topology": "bridge.commands.topology",
    "doctor": "bridge.commands.doctor",
}
"""Command → module with a click command called `command`. The worker's is named, not imported."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is called (rasa takes seconds to import)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name]).command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bridge.__version__, prog_name="rasa-bridge")
def cli() -> None:
    """Queue-backed channels for a Rasa assistant.

    \b
    provider → webhook → RabbitMQ → worker → RabbitMQ → deliver → provider

    Start all of it in one terminal with 'rasa-bridge up', or each role on its own. The commands
    read the endpoints.yml and credentials.yml that a Rasa project has.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a wrong setting is one line and exit code 2."""
    claim_names()
    try:
        return cli.main(args=arguments, prog_name="rasa-bridge")
    except SettingsError as error:
        click.secho(f"rasa-bridge: {error}", fg="red", err=True)
        sys.exit(2)
    except BridgeError as error:
        click.secho(f"rasa-bridge: {error}", fg="red", err=True)
        sys.exit(1)
