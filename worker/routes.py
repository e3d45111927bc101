"""Where a user's last message came from: a thread, a Teams conversation. Needs no rasa.

A call of the HTTP API answers no message, so the event of each message keeps its route.
"""

from __future__ import annotations

from typing import Any

from bridge.messages import InboundMessage

ROUTE = "rasa_bridge_route"
"""Key in the metadata of a `UserUttered` event. A route holds no secret."""
IS_EXTERNAL = "is_external"
"""Rasa's mark on an intent that no user has expressed, such as that of a call or a reminder."""


def metadata_with_route(message: InboundMessage) -> dict[str, Any] | None:
    """Return the metadata of a message, and its route if it has one.

    What a client sends under the key of the route is dropped.
    """
    metadata = message.metadata
    if metadata and ROUTE in metadata:
        metadata = {key: value for key, value in metadata.items() if key != ROUTE}
    return {**(metadata or {}), ROUTE: message.route} if message.route else metadata


def last_route(tracker: Any, input_channel: str) -> dict[str, Any]:
    """Return the route of the user's last message on a channel; {} if it had none."""
    for event in reversed(tracker.events):
        if getattr(event, "type_name", None) != "user" or event.input_channel != input_channel:
            continue
        metadata = event.metadata or {}
        if not metadata.get(IS_EXTERNAL):
            route = metadata.get(ROUTE)
            return dict(route) if isinstance(route, dict) else {}
    return {}
