"""The URL of the broker: its heartbeat, its virtual host, and its form without secrets."""

from __future__ import annotations

from yarl import URL

HEARTBEAT = 10
"""Seconds. With the default of 60, it takes three minutes to notice a dead peer."""


def safe_url(url: str) -> str:
    """Return the URL without password and query, for logs and messages."""
    try:
        return str(URL(url).with_password(None).with_query(None))
    except ValueError:
        return "(malformed AMQP URL)"


def virtual_host(url: str) -> str:
    """Return the name of the virtual host in a URL."""
    return URL(url).path[1:] or "/"


def with_heartbeat(url: str) -> tuple[str, float]:
    """Return the URL with a heartbeat, and the heartbeat in seconds; the URL's own one wins.

    Raises:
        ValueError: the URL or its heartbeat is malformed.
    """
    parsed = URL(url)
    seconds = parsed.query.get("heartbeat", str(HEARTBEAT))
    return str(parsed.update_query(heartbeat=seconds)), max(1.0, float(seconds))
