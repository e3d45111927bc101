"""The channel `socketio`."""

from bridge.connectors.socketio.connector import SocketIOConnector

__all__ = ["SocketIOConnector"]
