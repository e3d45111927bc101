"""The channel `twilio_voice`."""

from bridge.connectors.twilio_voice.connector import TwilioVoiceConnector

__all__ = ["TwilioVoiceConnector"]
