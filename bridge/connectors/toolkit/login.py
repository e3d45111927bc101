"""A session at a service: logs in on first use, and again when the session has expired.

The session's token stays in this process and never travels on a queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from bridge.errors import ServiceUnavailable
from bridge.http.client import HttpClient, Response

Headers = Mapping[str, str]


class SessionExpired(ServiceUnavailable):
    """The service refuses the session, or no longer accepts it (401)."""


class Login:
    """The headers of one session, shared by all calls of a channel."""

    def __init__(
        self, log_in: Callable[[HttpClient], Awaitable[Headers]], renews: bool = True
    ) -> None:
        """`log_in` returns the headers of a new session, or raises ServiceUnavailable.

        `renews` is False if every login returns the same headers (a fixed token).
        """
        self._log_in = log_in
        self._renews = renews
        self._lock = asyncio.Lock()
        self._headers: Headers | None = None

    async def call(
        self, http: HttpClient, make: Callable[[Headers], Awaitable[Response]]
    ) -> Response:
        """Make a call; if it raises SessionExpired, log in again and repeat it once.

        Raises:
            ServiceUnavailable: the service refuses the new session, too.
        """
        ended: Headers | None = None
        while True:
            headers = await self._session(http, ended)
            try:
                return await make(headers)
            except SessionExpired as error:
                if ended is not None or not self._renews:
                    raise ServiceUnavailable(error.problem, fix=error.fix) from error
                ended = headers

    async def _session(self, http: HttpClient, ended: Headers | None) -> Headers:
        # Under a lock: calls that fail together share one new session.
        async with self._lock:
            if self._headers is None or self._headers is ended:
                self._headers = None
                self._headers = await self._log_in(http)
            return self._headers
