"""What Twilio can send: https://www.twilio.com/docs/voice/twiml/gather and …/voice/twiml."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(
    turn=("call", "SpeechResult", "Digits"),
    answered=("silence",),
    ignored=(
        "conference",
        "machine_detection",
        "partial_result",
        "recording",
        "status",
        "stream",
        "transcription",
    ),
)
