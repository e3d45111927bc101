"""The channel `telegram`."""

from bridge.connectors.telegram.connector import TelegramConnector

__all__ = ["TelegramConnector"]
