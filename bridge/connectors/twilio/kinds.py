"""What Twilio can send: https://www.twilio.com/docs/messaging/guides/webhook-request."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(
    turn=("Body", "ButtonPayload", "ListId", "InteractiveData", "Latitude", "MediaUrl0"),
    ignored=("empty", "status"),
)
