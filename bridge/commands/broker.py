"""What commands that talk to the broker share: their settings and one connection.

Imports the connectors and aio_pika, so commands import it only when they run.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.broker.connection import Connection, connect
from bridge.broker.topology import Topology
from bridge.connectors.registry import load_channels
from bridge.errors import BrokerUnavailable
from bridge.settings.files import (
    BrokerSettings,
    credentials_file,
    load_broker,
    load_credentials,
)
from bridge.telemetry import logs


def settings(
    name: str, credentials: str | None, endpoints: str | None, level: int = logging.ERROR
) -> tuple[BrokerSettings, Topology]:
    """Configure logging; return the broker's settings and the topology of all channels.

    Raises:
        SettingsError: a settings file is wrong.
    """
    logs.configure(name, level)
    sections = load_credentials(credentials, strict=False)
    channels = load_channels(sections, credentials_file(credentials), "queues")
    broker = load_broker(endpoints)
    return broker, broker.topology_of(channels.values())


@asynccontextmanager
async def connected(broker: BrokerSettings, name: str) -> AsyncIterator[Connection]:
    """Open one connection, called `name` in the broker's listings.

    Raises:
        BrokerUnavailable: it cannot be opened, or was lost; `fix` is set.
    """
    try:
        async with connect(broker.url, name) as connection:
            yield connection
    except BrokerUnavailable as error:
        if error.fix:
            raise
        raise BrokerUnavailable(
            f"no broker: {error.problem}", fix="start it, or fix bridge.url"
        ) from error
