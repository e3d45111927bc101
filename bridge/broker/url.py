"""URLs of the broker: heartbeat, virtual host, and the form without secrets."""

from __future__ import annotations

from yarl import URL

Urls = str | tuple[str, ...]
"""The URL of a broker, or those of several nodes of a cluster."""

HEARTBEAT = 10
"""Seconds. With the default of 60, it takes three minutes to notice a dead peer."""


def each(urls: Urls) -> tuple[str, ...]:
    """Return the URLs one by one."""
    return (urls,) if isinstance(urls, str) else urls


def safe_url(urls: Urls) -> str:
    """Return the URLs without password and query, for logs and messages."""
    return ", ".join(_safe(url) for url in each(urls))


def _safe(url: str) -> str:
    try:
        return str(URL(url).with_password(None).with_query(None))
    except ValueError:
        return "(malformed AMQP URL)"


def virtual_host(urls: Urls) -> str:
    """Return the name of the virtual host in the first URL."""
    return URL(each(urls)[0]).path[1:] or "/"


def is_here(urls: Urls) -> bool:
    """Return whether the broker is looked for on this machine, at the usual port."""
    parsed = [URL(url) for url in each(urls)]
    return all(
        url.host in ("localhost", "127.0.0.1", "::1") and url.port in (None, 5672) for url in parsed
    )


def beating(urls: Urls, seconds: int) -> Urls:
    """Return the URLs with another heartbeat; a malformed one unchanged."""

    def changed(url: str) -> str:
        try:
            return str(URL(url).update_query(heartbeat=str(seconds)))
        except ValueError:
            return url

    return tuple(changed(url) for url in each(urls))


def with_heartbeat(url: str) -> tuple[str, float]:
    """Return the URL with a heartbeat, and the heartbeat in seconds; the URL's own one wins.

    Raises:
        ValueError: the URL or its heartbeat is malformed.
    """
    parsed = URL(url)
    seconds = parsed.query.get("heartbeat", str(HEARTBEAT))
    return str(parsed.update_query(heartbeat=seconds)), max(1.0, float(seconds))


def longest_heartbeat(urls: Urls) -> float:
    """Return the longest heartbeat of the URLs, in seconds; a malformed one has the default."""

    def heartbeat(url: str) -> float:
        try:
            return with_heartbeat(url)[1]
        except ValueError:
            return HEARTBEAT

    return max(heartbeat(url) for url in each(urls))
