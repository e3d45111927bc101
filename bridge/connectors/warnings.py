"""What a start warns of: authentication that is off, and channels that share conversations."""

from __future__ import annotations

import logging
from collections.abc import Collection

from bridge.connectors.registry import Channel

log = logging.getLogger(__name__)


def warn(channels: Collection[Channel]) -> None:
    """Log the warnings of all channels, one line each, with channel and key."""
    if is_as_created(channels):
        log.info(
            "channel rest: open to anyone who reaches this port, as in 'rasa run'; set its key"
            " 'token' before you publish it"
        )
        return
    for channel in channels:
        for warning in warnings_of(channel, channels):
            log.warning("channel %s: %s", channel.name, warning)


def is_as_created(channels: Collection[Channel]) -> bool:
    """Return whether the channels are those of `rasa init`: nothing to protect, nothing wrong."""
    used = [channel for channel in channels if channel.connector.in_use]
    return [channel.name for channel in used] == ["rest"] and not used[0].connector.verifies()


def warnings_of(channel: Channel, channels: Collection[Channel]) -> list[str]:
    """Return the warnings of a channel that runs beside others, each with its key."""
    connector = channel.connector
    warnings = [*channel.notes, *connector.warnings()]
    others = [
        other.name for other in channels if other.name != channel.name and other.connector.in_use
    ]
    if others and connector.users_choose_ids() and not connector.conversation_prefix:
        warnings.append(
            "key 'conversation_prefix' is missing: its users name their conversation, and can write"
            f" into those of {', '.join(others)}"
        )
    return warnings
