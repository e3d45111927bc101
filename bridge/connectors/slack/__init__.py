"""The channel `slack`."""

from bridge.connectors.slack.connector import SlackConnector

__all__ = ["SlackConnector"]
