"""Wraps any Rasa `InputChannel`."""

from bridge.connectors.wrapped.connector import WrappedConnector

__all__ = ["WrappedConnector"]
