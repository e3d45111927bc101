"""The broker's URL: what is added to it, and what is left out of it in logs."""

from __future__ import annotations

from yarl import URL

HEARTBEAT = 10
"""Seconds. With the default of 60 a dead peer is noticed only after three minutes."""


def safe_url(url: str) -> str:
    """Return the broker's URL without its password, for logs and messages."""
    try:
        return str(URL(url).with_password(None).with_query(None))
    except ValueError:
        return "(malformed AMQP URL)"


def virtual_host(url: str) -> str:
    """Return the name of the broker's virtual host that a URL means."""
    return URL(url).path[1:] or "/"


def with_heartbeat(url: str) -> tuple[str, float]:
    """Return the URL with a heartbeat, and that in seconds; one in its query is kept.

    Raises:
        ValueError: the URL or its heartbeat is malformed.
    """
    parsed = URL(url)
    seconds = parsed.query.get("heartbeat", str(HEARTBEAT))
    return str(parsed.update_query(heartbeat=seconds)), max(1.0, float(seconds))
