"""What the values of options may be, and what a shell offers for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from bridge.runtime.durations import parse_age

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FILE = click.Path()
"""A file or folder, which the shell completes. What is wrong with it is told when it is read."""


class Seconds(click.FloatRange):
    """Seconds, as a number or as a duration: `90`, `1.5`, `90s`, `10m`, `1h30m`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = _seconds(value)
        if seconds is None:
            self.fail(f"{value!r} is not a time: write it as 90, 90s, 10m or 2h", param, ctx)
        return super().convert(seconds, param, ctx)


SYNCHRONOUS = ("hangouts", "rasa", "rest", "twilio_voice")
"""Kinds of channels that answer with the replies, and so have no reply queues."""


class Channel(click.types.StringParamType):
    """A channel of the credentials file, by its name."""

    name = "channel"

    def __init__(self, *, with_reply_queues: bool = False) -> None:
        """`with_reply_queues`: offer only channels whose replies `deliver` sends."""
        self._without = SYNCHRONOUS if with_reply_queues else ()

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from bridge.errors import SettingsError
        from bridge.settings.files import load_credentials

        try:
            channels = load_credentials(ctx.params.get("credentials"), strict=False)
        except SettingsError:
            return []
        return [
            CompletionItem(name)
            for name, section in channels.items()
            if name.startswith(incomplete) and _kind(name, section) not in self._without
        ]


def _kind(name: str, section: dict[str, Any]) -> object:
    """Return the kind of a channel, which its section may name."""
    options = section.get("bridge")
    named = options.get("channel") if isinstance(options, dict) else None
    return named or section.get("channel", name)


def _seconds(value: Any) -> float | None:
    try:
        number = float(value)
    except ValueError:
        try:
            return parse_age(value)
        except ValueError:
            return None
    return None if math.isnan(number) else number
