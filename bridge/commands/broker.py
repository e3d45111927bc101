"""What commands that talk to the broker share: their settings and one connection.

Imports the connectors and aio_pika, so commands import it only when they run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from bridge.broker.connection import Connection, connect
from bridge.broker.topology import Topology
from bridge.broker.url import is_here
from bridge.connectors.registry import load_channels
from bridge.errors import BrokerUnavailable, LoginRefused, NoVirtualHost, SettingsError
from bridge.runtime.retry import backoff
from bridge.settings.files import (
    BrokerSettings,
    credentials_file,
    load_broker,
    load_credentials,
)
from bridge.telemetry import logs

log = logging.getLogger(__name__)

START = "start one: docker run -d --name rabbitmq -p 127.0.0.1:5672:5672 rabbitmq:4"
"""The broker of README.md."""


def settings(
    name: str,
    credentials: str | None,
    endpoints: str | None,
    level: int = logging.ERROR,
    *,
    inbound_only: bool = False,
) -> tuple[BrokerSettings, Topology]:
    """Configure logging; return the broker's settings and the topology of all channels.

    With `inbound_only`, of no channel; the credentials file is then not needed.

    Raises:
        SettingsError: a settings file is wrong.
    """
    logs.configure(name, level)
    if inbound_only:
        broker = load_broker(endpoints)
        return broker, broker.topology_of([])
    sections = load_credentials(credentials, strict=False)
    channels = load_channels(sections, credentials_file(credentials), "queues")
    broker = load_broker(endpoints)
    return broker, broker.topology_of(channels.values())


async def reached(broker: BrokerSettings, name: str) -> None:
    """Return once a connection opens. What prevents it is logged, each reason once.

    Raises:
        SettingsError: the broker refused the login or the virtual host.
    """
    said = set()
    for failures in count(1):
        try:
            async with connect(broker.url, name):
                return
        except (LoginRefused, NoVirtualHost) as error:
            raise SettingsError(error.problem, fix=error.fix) from error
        except BrokerUnavailable as error:
            if error.problem not in said:
                said.add(error.problem)
                fix = error.fix or (START if is_here(broker.url) else "start it, or fix bridge.url")
                log.warning("waiting for the broker: %s; %s", error.problem, fix)
        await asyncio.sleep(backoff(failures, cap=2.0))


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
