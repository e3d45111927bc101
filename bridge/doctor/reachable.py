"""Whether a server of the assistant accepts connections."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from bridge.doctor.findings import Finding, error, ok

PORTS = {
    "redis": 6379,
    "mongod": 27017,
    "postgresql": 5432,
    "mysql": 3306,
    "kafka": 9092,
    "http": 80,
    "https": 443,
}
CONNECT_TIMEOUT = 5.0
"""Seconds for a server to accept a connection."""


async def connects(
    subject: str, fix: str, kind: str, url: str, port: Any = None
) -> tuple[Finding | None, str]:
    """Open a plain connection to a server; return the problem, if any, and where the server is.

    `url` is a host, host:port or a complete URL, as in Rasa. `kind` names the server, and chooses
    its default port.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        default = PORTS.get(parts.scheme, PORTS.get(kind, 0))
        host, number = parts.hostname, parts.port or int(port or default)
    except ValueError:
        return error(subject, f"{kind}: malformed url or port", fix), kind
    if not host or not number or parts.scheme.endswith("+srv"):
        return ok(subject, f"{kind} (not checked)"), kind
    where = f"{kind} at {host}:{number}"
    try:
        opening = asyncio.open_connection(host, number)
        _, writer = await asyncio.wait_for(opening, CONNECT_TIMEOUT)
    except (OSError, asyncio.TimeoutError) as problem:
        reason = str(problem) or f"no answer within {CONNECT_TIMEOUT:g} s"
        return error(subject, f"{where}: {reason}", fix), where
    writer.close()
    return None, where
