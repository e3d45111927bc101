"""What Twilio can send: https://www.twilio.com/docs/messaging/guides/webhook-request."""

from bridge.connectors.toolkit.events import Kinds

STATUSES = (
    "accepted",
    "canceled",
    "delivered",
    "failed",
    "partially_delivered",
    "queued",
    "read",
    "scheduled",
    "sending",
    "sent",
    "undelivered",
)
"""What became of a sent message."""

KINDS = Kinds(
    turn=("Body", "ButtonPayload", "ListId", "InteractiveData", "Latitude", "MediaUrl0"),
    ignored=("empty", *(f"status_{status}" for status in STATUSES)),
)
