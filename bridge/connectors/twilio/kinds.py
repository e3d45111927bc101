"""What Twilio can send: https://www.twilio.com/docs/messaging/guides/webhook-request."""

from collections.abc import Mapping

from bridge.connectors.toolkit.events import Kinds
from bridge.connectors.toolkit.receipts import Outcome

OUTCOMES: Mapping[str, Outcome] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
    "undelivered": "failed",
}
"""What became of a sent message: status → outcome."""
UNDECIDED = (
    "accepted",
    "canceled",
    "partially_delivered",
    "queued",
    "scheduled",
    "sending",
)
"""Statuses before an outcome, and those of messages that the bridge does not send."""

KINDS = Kinds(
    turn=("Body", "ButtonPayload", "ListId", "InteractiveData", "Latitude", "MediaUrl0"),
    ignored=("empty", *(f"status_{status}" for status in UNDECIDED)),
    receipts=tuple(f"status_{status}" for status in OUTCOMES),
)
