"""The channel `rocketchat`."""

from bridge.connectors.rocketchat.connector import RocketChatConnector

__all__ = ["RocketChatConnector"]
