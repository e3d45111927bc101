"""Cross-origin requests of browsers: the headers for the origins that are listed, and for no other.

https://fetch.spec.whatwg.org/#http-cors-protocol. Like `rasa run --cors`, an entry is an origin,
`*`, or a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from sanic import HTTPResponse, Request, Sanic
from sanic.response import empty

from bridge.errors import SettingsError

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE = 600
"""Seconds for which a browser may remember the answer to a preflight."""
EVERY = "*"
_QUOTES = frozenset("'\"`“”„‘’«»")
"""Left by a shell that does not remove them, such as cmd.exe, or by a text copied from a page."""
_PATTERN = re.compile(r"[*\\?$^\[\]()|]")
"""Characters that make an entry a pattern; an origin has none of them."""
_REGEX = re.compile(r"[\\?$^\[\]()|+]|\.\*")
"""What makes a pattern a regular expression; all others have wildcards."""


class Origins:
    """The origins whose pages may use the server."""

    def __init__(self, entries: Sequence[str]) -> None:
        """Each entry is `https://host[:port]`, `*`, or a pattern: with wildcards, or a regular
        expression. A pattern must match a whole origin.

        Raises:
            SettingsError: an entry is none of these.
        """
        named = [one.strip() for entry in entries for one in entry.split(",")]
        self._exact: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        for entry in filter(None, named):
            if not _QUOTES.isdisjoint(entry):
                # It would match no origin, and no line would say so.
                raise SettingsError(
                    f"CORS: {entry} contains quotes",
                    fix="write it without them, or with straight double quotes in a shell",
                )
            if _PATTERN.search(entry):
                self._patterns.append(_pattern(entry))
            else:
                self._exact.add(_origin(entry))

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def allows(self, origin: str) -> bool:
        """Return whether pages of an origin may read responses."""
        origin = origin.lower()
        return origin in self._exact or any(p.fullmatch(origin) for p in self._patterns)


def allow_origins(app: Sanic[Any, Any], origins: Origins) -> None:
    """Answer the preflights of an app, and add the headers to its responses."""
    app.ctx.origins = origins

    async def preflight(request: Request) -> HTTPResponse | None:
        asked = request.headers.get("access-control-request-method")
        if request.method != "OPTIONS" or not asked or not _is_listed(request, origins):
            return None
        headers = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Max-Age": str(MAX_AGE),
        }
        if wanted := request.headers.get("access-control-request-headers"):
            headers["Access-Control-Allow-Headers"] = wanted
        return empty(204, headers)

    async def name_origin(request: Request, response: Any) -> None:
        if "access-control-allow-origin" in response.headers:
            return  # the channel's own code
        vary = response.headers.get("vary")
        response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
        if _is_listed(request, origins):
            response.headers["Access-Control-Allow-Origin"] = request.headers["origin"]
            # As in Rasa: Socket.IO's client sends its requests with credentials.
            response.headers["Access-Control-Allow-Credentials"] = "true"
            response.headers["Access-Control-Expose-Headers"] = "Retry-After"

    app.register_middleware(preflight, "request")
    app.register_middleware(name_origin, "response")


def may_connect(request: Request) -> bool:
    """Return whether a page may open a socket: browsers leave that check to the server.

    True if no origins are listed, as in Rasa, or for a page of this server.
    """
    origins: Origins | None = getattr(request.app.ctx, "origins", None)
    origin = request.headers.get("origin")
    if not origins or not origin or origins.allows(origin):
        return True
    hosts = {request.headers.get(name, "") for name in ("host", "x-forwarded-host")}
    try:
        return urlsplit(origin).netloc in hosts - {""}
    except ValueError:
        return False  # such as http://[


def _is_listed(request: Request, origins: Origins) -> bool:
    origin = request.headers.get("origin")
    return origin is not None and origins.allows(origin)


def _origin(entry: str) -> str:
    """Return an entry as browsers write an origin: in lower case, without path and default port."""
    if entry == "null":  # the origin of a page opened from a file
        return entry
    try:
        parts = urlsplit(entry.lower())
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    if not parts.scheme or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise SettingsError(
            f"CORS: '{entry}' is not an origin", fix="write it as https://www.example.com, or '*'"
        )
    netloc = parts.netloc
    if port == {"http": 80, "https": 443}.get(parts.scheme):
        netloc = netloc.rpartition(":")[0]
    return f"{parts.scheme}://{netloc}"


def _pattern(entry: str) -> re.Pattern[str]:
    """Return an entry with wildcards, or a regular expression, as a pattern."""
    if entry == EVERY:
        return re.compile(".*")
    if not _REGEX.search(entry):
        # As a regular expression, `https://*.x.org` would match https://ax.org.
        entry = "[^/]*".join(re.escape(part) for part in entry.split("*"))
    try:
        return re.compile(entry, re.IGNORECASE)
    except re.error as error:
        raise SettingsError(f"CORS: '{entry}' is not a pattern: {error}") from error
