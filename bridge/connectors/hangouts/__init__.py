"""The channel `hangouts`."""

from bridge.connectors.hangouts.connector import HangoutsConnector

__all__ = ["HangoutsConnector"]
