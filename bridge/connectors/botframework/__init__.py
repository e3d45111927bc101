"""The channel `botframework`."""

from bridge.connectors.botframework.connector import BotFrameworkConnector

__all__ = ["BotFrameworkConnector"]
