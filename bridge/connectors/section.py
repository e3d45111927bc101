"""One section of credentials.yml: the bridge's options apart from the channel's own keys.

Our options are keys of `bridge:` inside the section. Beside the keys of a channel that we know,
they may also stand without it. Every other key of a custom `InputChannel` belongs to that channel,
even if it is called `channel` or `rate_limit`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.connectors.base import Connector
from bridge.connectors.required import required_keys
from bridge.connectors.turns import OPTIONS as TURNS
from bridge.errors import SettingsError
from bridge.settings.sections import known_keys, refuse_unknown
from bridge.settings.yaml_values import quoted_variable

OPTIONS = "bridge"
"""The reserved key."""
RUN_IN_THREAD = "run_in_thread"
"""Option of a wrapped Rasa channel; see `bridge.connectors.wrapped.outgoing`."""
COLLECTS = "collects"
"""Option of a wrapped Rasa channel; see `bridge.connectors.wrapped.outgoing`."""
LIMITS = ("rate_limit", "burst", "rate_limit_per_recipient", "burst_per_recipient")
SHARED = (*LIMITS, "priority", "conversation_prefix", "receipts", *TURNS)
"""Options of every channel, besides `channel`."""
NOT_IN_RASA = ("webhook", "whatsapp")
"""Channels whose unknown keys are errors; Rasa ignores those of its channels."""
ONLY_IN_RASA_PRO = (
    "audiocodes",
    "audiocodes_stream",
    "browser_audio",
    "chirp",
    "genesys",
    "inspector",
    "jambonz",
    "jambonz_stream",
    "json_audio",
    "signalwire",
    "twilio_media_streams",
    "vier_cvg",
    "vonage",
    "websockets_voice",
)
"""Channels of rasa-pro that hold a call or a page open: conversations, not messages to queue."""


@dataclass
class Section:
    """The parts of a section. `keys` are the channel's own."""

    kind: str
    options: dict[str, Any]
    keys: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    """What to warn of, one line each."""

    def take_options(self) -> None:
        """Move options that stand beside the channel's keys to the others.

        Raises:
            SettingsError: an option is given twice.
        """
        for name in SHARED:
            if name in self.keys:
                if name in self.options:
                    raise SettingsError(f"key '{name}' is given twice", fix=f"remove one '{name}'")
                self.options[name] = self.keys.pop(name)

    def leave_options(self) -> None:
        """Leave all keys to a custom channel, but warn of those that were options before."""
        if RUN_IN_THREAD in self.keys:
            self.options.setdefault(RUN_IN_THREAD, self.keys.pop(RUN_IN_THREAD))
        self.notes += [
            f"key '{name}' belongs to the channel itself; the bridge's option is '{OPTIONS}.{name}'"
            for name in SHARED
            if name in self.keys
        ]

    def forget_unknown(self, cls: type[Connector]) -> None:
        """Leave out what Rasa ignores: keys that its channel does not have, and `key: None`.

        Raises:
            SettingsError: a key is unknown, and similar to one that is missing.
        """
        known = known_keys(cls, cls.key_of)
        if known is None:
            return
        unknown = [key for key in self.keys if key not in known]
        missing = [key for key in required_keys(cls) if key not in self.keys]
        for key in unknown:
            near = difflib.get_close_matches(str(key), known, n=1)
            if set(near) & set(missing):
                refuse_unknown([key], known)
            del self.keys[key]
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            self.notes.append(f"unknown key '{key}' is ignored, as in Rasa; {hint}")
        self._forget_none(cls)

    def _forget_none(self, cls: type[Connector]) -> None:
        """`None` is a text in YAML, but Rasa's documentation shows it for an optional key."""
        for name, parameter in inspect.signature(cls).parameters.items():
            key = cls.key_of.get(name, name)
            if self.keys.get(key) != "None" or parameter.default is not None:
                continue
            if key in cls.only_webhook:
                raise SettingsError(
                    f"key '{key}' is the text 'None'", fix="remove it, or give it a value"
                )
            del self.keys[key]


def refuse_pro_only(kind: str) -> None:
    """Raise a SettingsError if a channel exists in rasa-pro alone."""
    if kind in ONLY_IN_RASA_PRO:
        raise SettingsError(
            "the bridge does not serve this channel of rasa-pro",
            fix=f"remove the section, and serve it with 'rasa run --connector {kind}' beside the"
            " bridge",
        )


def quoted_variables(section: Mapping[str, Any]) -> list[str]:
    """Return a line for each key with a variable that is not replaced because it is in quotes."""
    found = {key: quoted_variable(value) for key, value in section.items()}
    return [
        f"key '{key}': {variable} is in quotes and so not replaced, as in Rasa; remove the quotes"
        for key, variable in found.items()
        if variable
    ]


def section_of(key: str, section: Mapping[str, Any]) -> Section:
    """Return the parts of the section of a key; the options beside the channel's keys stay there.

    Raises:
        SettingsError: an option is unknown, or the options are not a section.
    """
    keys = dict(section)
    given = keys.pop(OPTIONS, None)
    if not isinstance(given or {}, dict):
        raise SettingsError(f"key '{OPTIONS}' must be a section with keys")
    options = dict(given or {})
    refuse_unknown(options, ("channel", *SHARED, RUN_IN_THREAD, COLLECTS), f"key of '{OPTIONS}'")
    if "channel" not in options:
        # A module path names its class itself.
        options["channel"] = key if "." in key else keys.pop("channel", key)
    return Section(str(options.pop("channel")), options, keys)


def kinds_named(key: str, section: Mapping[str, Any]) -> list[str]:
    """Return every name in a section that may be that of a channel."""
    options = section.get(OPTIONS)
    named = options.get("channel") if isinstance(options, dict) else None
    return [str(name) for name in (key, section.get("channel"), named)]
