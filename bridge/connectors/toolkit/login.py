"""A session at a service: logged in when it is first needed, and again when it has ended.

What a login gives stays in this process; it is on no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from bridge.errors import ServiceUnavailable
from bridge.http.client import HttpClient, Response

Headers = Mapping[str, str]


class SessionEnded(ServiceUnavailable):
    """The service does not, or no longer, take the session (401)."""


class Login:
    """The headers of one session, shared by all calls of a channel."""

    def __init__(
        self, log_in: Callable[[HttpClient], Awaitable[Headers]], renews: bool = True
    ) -> None:
        """`log_in` returns the headers of a new session; a ServiceUnavailable if it cannot.

        `renews`: it does not always return the same.
        """
        self._log_in = log_in
        self._renews = renews
        self._lock = asyncio.Lock()
        self._headers: Headers | None = None

    async def call(
        self, http: HttpClient, make: Callable[[Headers], Awaitable[Response]]
    ) -> Response:
        """Make a call; if it raises SessionEnded, log in again and make it once more.

        Raises:
            ServiceUnavailable: a new session is not taken, either.
        """
        ended: Headers | None = None
        while True:
            headers = await self._session(http, ended)
            try:
                return await make(headers)
            except SessionEnded as error:
                # A token that does not change is not tried again.
                if ended is not None or not self._renews:
                    raise ServiceUnavailable(str(error)) from error
                ended = headers

    async def _session(self, http: HttpClient, ended: Headers | None) -> Headers:
        # One at a time: calls that fail together need one new session, not one each.
        async with self._lock:
            if self._headers is None or self._headers is ended:
                self._headers = None
                self._headers = await self._log_in(http)
            return self._headers
