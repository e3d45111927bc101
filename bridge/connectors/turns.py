"""The option `turns` of a channel, and which of its messages it concerns.

What a message says decides at the webhook, which knows its channel: a text is collected; a button,
a command or a file has a turn for itself, as every message has without the option.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.errors import SettingsError
from bridge.messages import InboundMessage, TurnPolicy
from bridge.messages.turn_policy import COLLECT, EACH, INTERRUPT, LATEST, POLICIES

if TYPE_CHECKING:
    from bridge.connectors.base import Connector

OPTIONS = ("turns", "quiet", "max_wait", "joiner", "max_messages")
LONGEST_QUIET = 60.0
LONGEST_WAIT = 300.0
"""Upper limits of `quiet` and `max_wait`, in seconds."""
LONGEST_JOINER = 100
"""Characters."""
MOST_MESSAGES = 100
FILES = frozenset(
    (
        *("attachments", "files", "media", "title", "contacts", "order", "flow", "place"),
        *("location", "venue", "contact", "dice", "web_app_data", "animation", "audio"),
        *("document", "photo", "live_photo", "sticker", "video", "video_note", "voice"),
    )
)
"""Keys of metadata by which our connectors describe a file, a place, a button and the like."""
CONTROL = ("/restart", "/back", "/session_start")
"""Texts that change the conversation itself: a later message must not supersede them."""


def policy_from(options: Mapping[str, Any], connector: Connector) -> TurnPolicy | None:
    """Return the policy that the options of a channel describe; None for `each`.

    Raises:
        SettingsError: names the key that is wrong.
    """
    kind = options.get("turns", EACH)
    if kind not in POLICIES:
        raise SettingsError(f"key 'turns' must be one of: {', '.join(POLICIES)}")
    given = [key for key in OPTIONS[1:] if key in options]
    if kind == EACH:
        if given:
            raise SettingsError(
                f"key '{given[0]}' has no effect without 'turns'",
                fix="add 'turns: collect', 'turns: latest' or 'turns: interrupt'",
            )
        return None
    if connector.synchronous:
        raise SettingsError(
            f"key 'turns' must be '{EACH}': each request of this channel waits for its answer",
            fix="remove 'turns'",
        )
    default = TurnPolicy(kind, quiet=0.0 if kind == LATEST else TurnPolicy(kind).quiet)
    quiet = _seconds("quiet", options.get("quiet", default.quiet), LONGEST_QUIET)
    longest = options.get("max_wait", max(default.max_wait, quiet))
    max_wait = _seconds("max_wait", longest, LONGEST_WAIT)
    if max_wait < quiet:
        raise SettingsError("key 'max_wait' must be at least 'quiet'")
    joiner = options.get("joiner", default.joiner)
    if not isinstance(joiner, str) or len(joiner) > LONGEST_JOINER:
        raise SettingsError(f"key 'joiner' must be a text of up to {LONGEST_JOINER} characters")
    return TurnPolicy(kind, quiet, max_wait, joiner, _count(options.get("max_messages", 20)))


def _seconds(key: str, value: Any, longest: float) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds <= longest:
        raise SettingsError(f"key '{key}' must be a number of seconds from 0 to {longest:g}")
    return seconds


def _count(value: Any) -> int:
    try:
        number = 0 if isinstance(value, (bool, float)) else int(value)
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= MOST_MESSAGES:
        raise SettingsError(f"key 'max_messages' must be a number from 1 to {MOST_MESSAGES}")
    return number


def policy_of(message: InboundMessage, connector: Connector) -> TurnPolicy | None:
    """Return the policy of one message of a channel; None: it has a turn for itself."""
    policy = connector.turns
    if policy is None or message.command is not None or message.reply_to is not None:
        return None
    text = message.text.strip()
    if policy.kind in (COLLECT, INTERRUPT):
        is_text = not text.startswith("/") and message.parse_data is None
        return policy if is_text and not _describes_file(message, connector) else None
    return None if text in CONTROL else policy


def _describes_file(message: InboundMessage, connector: Connector) -> bool:
    metadata = message.metadata or {}
    return any(metadata.get(key) for key in connector.file_keys)
