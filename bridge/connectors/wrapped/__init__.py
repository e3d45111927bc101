"""Connector wrapped."""

from bridge.connectors.wrapped.connector import WrappedConnector

__all__ = ["WrappedConnector"]
