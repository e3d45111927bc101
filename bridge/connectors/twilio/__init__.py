"""The channel `twilio`."""

from bridge.connectors.twilio.connector import TwilioConnector

__all__ = ["TwilioConnector"]
