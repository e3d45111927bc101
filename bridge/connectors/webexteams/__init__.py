"""The channel `webexteams`."""

from bridge.connectors.webexteams.connector import WebexTeamsConnector

__all__ = ["WebexTeamsConnector"]
