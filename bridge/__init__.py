"""Queue-backed channel bridge for Rasa: the edges and the queue. Runs without rasa installed.

`Connector`, `Request`, `InboundMessage` and `Reply` are what a connector of your own needs;
`QueueInput` is the Rasa input channel for a plain `rasa run` (needs rasa, imported on first use).
"""

from __future__ import annotations

from typing import Any

from bridge.connectors.base import Connector, Request
from bridge.errors import RejectedDeliveryError, RequestRejected, RetryableDeliveryError
from bridge.messages import InboundMessage, Reply

__version__ = "0.1.0"

__all__ = [
    "Connector",
    "InboundMessage",
    "QueueInput",
    "RejectedDeliveryError",
    "Reply",
    "Request",
    "RequestRejected",
    "RetryableDeliveryError",
]


def __getattr__(name: str) -> Any:
    if name == "QueueInput":
        from bridge.hosted import QueueInput

        return QueueInput
    raise AttributeError(f"module 'bridge' has no attribute {name!r}")
