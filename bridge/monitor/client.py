"""Asks a running monitor for what only it knows: the events since it started."""

from __future__ import annotations

import msgspec

from bridge.errors import DeliveryError, MonitorUnavailable, RejectedDeliveryError
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import UNREADABLE
from bridge.monitor.events import Event

TIMEOUT = 5.0
"""Seconds for the request."""


async def fetch_events(
    url: str, token: str | None, namespace: str, timeout: float = TIMEOUT
) -> list[Event]:
    """Return the events of the monitor at `url`, oldest first; `timeout` is in seconds.

    Raises:
        MonitorUnavailable: it does not answer, refuses the token, watches another namespace, or is
            something else.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with HttpClient(timeout=timeout) as http:
            response = await http.get(
                f"{url.rstrip('/')}/api/events",
                headers=headers,
                params={"namespace": namespace},
                check=_check,
            )
        return msgspec.json.decode(response.body, type=list[Event])
    except (DeliveryError, *UNREADABLE) as error:
        raise MonitorUnavailable(
            f"no events from the monitor at {url}: {error}",
            fix="start it (rasa-bridge monitor), or set --monitor-url and"
            " RASA_BRIDGE_MONITOR_TOKEN",
        ) from error


def _check(response: Response) -> None:
    if response.status == 404:
        raise RejectedDeliveryError("it watches another namespace")
    raise_for_status(response)
