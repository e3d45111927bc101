"""Access control of the monitor: token, session, Host and Origin. Independent of the HTTP server.

A monitor bound to loopback may run without a token. It then accepts only its own names in the Host
header, which keeps out pages that reach it by DNS rebinding: the browser sends their name there.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256

from bridge.errors import RequestRejected, SettingsError

TOKEN_VARIABLE = "RASA_BRIDGE_MONITOR_TOKEN"  # noqa: S105
MIN_TOKEN_LENGTH = 16
SESSION_SECONDS = 12 * 3600.0
"""Lifetime of a session; after it the page asks for the token again."""
MAX_FAILURES = 5
"""Failed logins per address within `FAILURE_WINDOW` seconds, before it is throttled."""
FAILURE_WINDOW = 60.0
MAX_ADDRESSES = 1000
"""Addresses whose failed logins are remembered."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class LoginThrottle:
    """Slows down guessing: an address with too many failed logins is refused for a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}
        """Address → times of its latest failures."""

    def check(self, peer: str) -> None:
        """Raise RequestRejected (429) while this address is throttled."""
        failures = self._failures.get(peer)
        if (
            failures
            and len(failures) == MAX_FAILURES
            and self._clock() - failures[0] < FAILURE_WINDOW
        ):
            raise RequestRejected(
                429, f"too many failed logins: try again in {FAILURE_WINDOW:.0f} seconds"
            )

    def failed(self, peer: str) -> None:
        """Count a failed login."""
        failures = self._failures.pop(peer, None) or deque(maxlen=MAX_FAILURES)
        failures.append(self._clock())
        self._failures[peer] = failures  # the newest last
        if len(self._failures) > MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]


class AccessControl:
    """The access rules of one monitor. Every `check_` method raises RequestRejected."""

    def __init__(
        self, host: str, port: int, token: str | None, clock: Callable[[], float] = time.time
    ) -> None:
        """`host` and `port` are the address that the monitor listens on.

        Raises:
            SettingsError: the token is too short, or missing on an address other than loopback.
        """
        if not token and not is_loopback(host):
            raise SettingsError(
                f"{host} is reachable from other machines",
                fix=f"set a token of {MIN_TOKEN_LENGTH} characters or more with --token or"
                f" {TOKEN_VARIABLE}, or listen on 127.0.0.1",
            )
        if token and len(token) < MIN_TOKEN_LENGTH:
            raise SettingsError(
                "the monitor's token is too short", fix=f"use {MIN_TOKEN_LENGTH} characters or more"
            )
        self._token = token
        self._hosts = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]", host)}
        self._clock = clock
        self._throttle = LoginThrottle(clock)

    def check_host(self, host: str) -> None:
        """Check the Host header. With a token any host passes: other sites have no session here."""
        if not self._token and host.lower() not in self._hosts:
            raise RequestRejected(403, f"open one of http://{' http://'.join(sorted(self._hosts))}")

    def check_change(self, host: str, origin: str, content_type: str) -> None:
        """Check that a POST comes from our page: forms of other sites cannot send JSON or our
        origin."""
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise RequestRejected(415, "send JSON, with content type application/json")
        if origin.partition("://")[2].lower() != host.lower() or not host:
            raise RequestRejected(403, "only the monitor's own page may do this (header Origin)")

    def check_user(self, authorization: str, session: str, peer: str) -> None:
        """Check for the token, or for a session that was opened with it."""
        if not self._token or self._is_session(session):
            return
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise RequestRejected(401, "log in, or send: Authorization: Bearer <token>")
        self.check_token(token.strip(), peer)

    def check_token(self, token: str, peer: str) -> None:
        """Check a token sent from the address `peer`, which may be a proxy that others use, too.

        So the right token always passes; only wrong ones are throttled.
        """
        if not _same(token, self._token or ""):
            self._throttle.check(peer)
            self._throttle.failed(peer)
            raise RequestRejected(401, "wrong token")

    def session(self) -> str:
        """Return a new session: its expiry as Unix time, and a signature made with the token."""
        until = str(int(self._clock() + SESSION_SECONDS))
        return f"{until}.{self._signature(until)}"

    def _is_session(self, session: str) -> bool:
        until, _, signature = session.partition(".")
        return _same(signature, self._signature(until)) and self._clock() < int(until)

    def _signature(self, until: str) -> str:
        key = (self._token or "").encode()
        return hmac.new(key, until.encode(errors="replace"), sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    # A header that is not UTF-8 arrives with lone surrogates, which have no encoding.
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
