"""Who may use the monitor: token, session, Host and Origin. Knows no HTTP server.

Bound to loopback it may go without a token; what keeps other people's web pages out then is the
Host header, since a browser that was led here by DNS rebinding sends their name in it.
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
SHORTEST = 16
"""Characters of a token."""
SESSION = 12 * 3600.0
"""Seconds after which the page asks for the token again."""
GUESSES = 5
"""Wrong tokens that one address may send within `GUESSES_PER` seconds."""
GUESSES_PER = 60.0
ADDRESSES = 1000
"""Addresses whose wrong tokens are remembered."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Brake:
    """Makes guessing slow: past `GUESSES` wrong ones an address is not listened to for a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: dict[str, deque[float]] = {}

    def check(self, peer: str) -> None:
        """Raise RequestRejected (429) if this address has to wait."""
        wrong = self._wrong.get(peer)
        if wrong and len(wrong) == GUESSES and self._clock() - wrong[0] < GUESSES_PER:
            raise RequestRejected(429, f"too many wrong tokens: wait {GUESSES_PER:.0f} seconds")

    def wrong(self, peer: str) -> None:
        guesses = self._wrong.pop(peer, None) or deque(maxlen=GUESSES)
        guesses.append(self._clock())
        self._wrong[peer] = guesses  # the newest last
        if len(self._wrong) > ADDRESSES:
            del self._wrong[next(iter(self._wrong))]


class Access:
    """The rules of one monitor. Each method that checks raises RequestRejected."""

    def __init__(
        self, host: str, port: int, token: str | None, clock: Callable[[], float] = time.time
    ) -> None:
        """`host` and `port`: where it listens.

        Raises:
            SettingsError: there is no token where one is needed, or it is too short.
        """
        if not token and not is_loopback(host):
            raise SettingsError(
                f"{host} can be reached by others: give a token with --token or {TOKEN_VARIABLE},"
                f" {SHORTEST} characters or more, or listen on 127.0.0.1"
            )
        if token and len(token) < SHORTEST:
            raise SettingsError(f"the monitor's token is too short: {SHORTEST} characters or more")
        self._token = token
        self._hosts = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]", host)}
        self._clock = clock
        self._brake = Brake(clock)

    def check_host(self, host: str) -> None:
        """With a token any name will do: another site's page has no session here."""
        if not self._token and host.lower() not in self._hosts:
            raise RequestRejected(403, f"open one of http://{' http://'.join(sorted(self._hosts))}")

    def check_change(self, host: str, origin: str, content_type: str) -> None:
        """A POST comes from our own page: no form of another one can send JSON, nor our origin."""
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise RequestRejected(415, "send JSON, with the content type application/json")
        if origin.partition("://")[2].lower() != host.lower() or not host:
            raise RequestRejected(403, "only the monitor's own page may do this (header Origin)")

    def check_user(self, authorization: str, session: str, peer: str) -> None:
        """Ask for the token, or for a session that it gave."""
        if not self._token or self._is_session(session):
            return
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise RequestRejected(401, "log in, or send: Authorization: Bearer <token>")
        self.check_token(token.strip(), peer)

    def check_token(self, token: str, peer: str) -> None:
        """`peer`: address of whoever sends it."""
        self._brake.check(peer)
        if not hmac.compare_digest(token.encode(), (self._token or "").encode()):
            self._brake.wrong(peer)
            raise RequestRejected(401, "that is not the monitor's token")

    def session(self) -> str:
        """Return a session: until when it holds, and a signature that needs the token."""
        until = str(int(self._clock() + SESSION))
        return f"{until}.{self._signature(until)}"

    def _is_session(self, session: str) -> bool:
        until, _, signature = session.partition(".")
        return hmac.compare_digest(
            signature.encode(), self._signature(until).encode()
        ) and self._clock() < int(until)

    def _signature(self, until: str) -> str:
        return hmac.new((self._token or "").encode(), until.encode(), sha256).hexdigest()
