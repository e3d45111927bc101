"""Queue-backed channel bridge for Rasa: the public API of connectors and handlers.

Everything here is imported on first use: `import bridge` alone loads neither Sanic nor aiohttp,
and rasa is loaded only with `QueueInput`. Names that are not in `__all__` may change at any time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.connectors.base import Connector, Verification
    from bridge.connectors.interfaces import Collected, Inbox
    from bridge.connectors.limits import RateLimit
    from bridge.connectors.toolkit.replies import calls, idempotency_key
    from bridge.connectors.toolkit.request import Request
    from bridge.errors import (
        BridgeError,
        BrokerError,
        DeliveryError,
        RejectedDeliveryError,
        RequestRejected,
        RetryableDeliveryError,
        ServiceUnavailable,
        SettingsError,
        TurnFailed,
    )
    from bridge.hosted import QueueInput
    from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
    from bridge.messages import Handler, InboundMessage, OutputChannel, Reply, ReplyKind

__version__ = "0.1.0"

__all__ = [
    "BridgeError",
    "BrokerError",
    "Collected",
    "Connector",
    "DeliveryError",
    "Handler",
    "HttpClient",
    "InboundMessage",
    "Inbox",
    "OutputChannel",
    "QueueInput",
    "RateLimit",
    "RejectedDeliveryError",
    "Reply",
    "ReplyKind",
    "Request",
    "RequestRejected",
    "Response",
    "RetryableDeliveryError",
    "ServiceUnavailable",
    "SettingsError",
    "TurnFailed",
    "Verification",
    "calls",
    "idempotency_key",
    "parse_retry_after",
    "raise_for_status",
]

_HOMES = {
    "bridge.connectors.base": ("Connector", "Verification"),
    "bridge.connectors.interfaces": ("Collected", "Inbox"),
    "bridge.connectors.limits": ("RateLimit",),
    "bridge.connectors.toolkit.replies": ("calls", "idempotency_key"),
    "bridge.connectors.toolkit.request": ("Request",),
    "bridge.errors": (
        "BridgeError",
        "BrokerError",
        "DeliveryError",
        "RejectedDeliveryError",
        "RequestRejected",
        "RetryableDeliveryError",
        "ServiceUnavailable",
        "SettingsError",
        "TurnFailed",
    ),
    "bridge.hosted": ("QueueInput",),
    "bridge.http.client": ("HttpClient", "Response", "parse_retry_after", "raise_for_status"),
    "bridge.messages": ("Handler", "InboundMessage", "OutputChannel", "Reply", "ReplyKind"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562).

    Raises:
        AttributeError: `bridge` has no such public name.
    """
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
