"""The channel `mattermost`."""

from bridge.connectors.mattermost.connector import MattermostConnector

__all__ = ["MattermostConnector"]
