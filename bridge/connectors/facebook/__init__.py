"""The channel `facebook`."""

from bridge.connectors.facebook.connector import FacebookConnector

__all__ = ["FacebookConnector"]
