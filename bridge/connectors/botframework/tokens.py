"""Bot Framework's tokens: the keys that verify requests, and the bot's own token for its calls.

The protocol:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-authentication.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urljoin

import jwt
import msgspec

from bridge.connectors.toolkit.fetch import TIMEOUT
from bridge.connectors.toolkit.refreshed import Refreshed
from bridge.connectors.toolkit.signed_tokens import INVALID
from bridge.errors import DeliveryError, RequestRejected, ServiceUnavailable
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import UNREADABLE

SERVICES = (
    "smba.trafficmanager.net",
    ".botframework.com",
    ".botframework.azure.us",
    ".botframework.azure.cn",
    ".teams.microsoft.com",
    ".teams.microsoft.us",
)
"""Microsoft's hosts, to which the bot's token may be sent. One that begins with a dot includes all
hosts below it."""
SERVICE_URL = re.compile(r"https://([A-Za-z0-9.-]+)(:443)?(/[\w.~%-]+)*/?", re.ASCII)
"""Nothing that two URL parsers may read differently: no user, query, backslash or other port."""
KEYS_LAST = 24 * 3600.0
"""Seconds after which the keys are fetched again."""
REFRESH_AFTER = 60.0
"""Seconds between two fetches, if a token names an unknown key."""
LEEWAY = 300
"""Clock difference that is tolerated, in seconds."""
RENEW_BEFORE = 300.0
"""Seconds before its expiry at which the bot's token is renewed."""
SCOPE = "https://api.botframework.com/.default"


class OpenId(msgspec.Struct):
    issuer: str
    jwks_uri: str


class KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Granted(msgspec.Struct):
    access_token: str
    expires_in: float


def is_service(url: Any, hosts: Sequence[str]) -> bool:
    """Return whether the bot's token may be sent to a service URL."""
    found = SERVICE_URL.fullmatch(url) if isinstance(url, str) else None
    host = found[1].lower() if found else ""
    return any(host.endswith(h) if h.startswith(".") else host == h for h in hosts)


class SigningKeys:
    """The keys that sign the tokens of requests, by `kid`."""

    def __init__(self, url: str, audience: str, now: Callable[[], float]) -> None:
        """`url` is that of the OpenID metadata, `audience` the bot's id."""
        self._url = url
        self._audience = audience
        self._now = now
        self._issuer = ""
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched_at = float("-inf")
        self._refreshed = Refreshed(self._fetch, now)

    async def refresh(self, token: str) -> None:
        """Fetch the keys if there are none, if they are old, or if the token names an unknown key.

        Raises:
            RequestRejected: 503, no keys are available.
        """
        kid = _kid(token)

        def is_needed() -> bool:
            age = self._now() - self._fetched_at
            lasts = KEYS_LAST if kid in self._keys else REFRESH_AFTER
            return bool(kid) and not (self._keys and age < lasts)

        await self._refreshed.refresh(is_needed, lambda: kid in self._keys)

    async def _fetch(self) -> None:
        try:
            async with HttpClient(TIMEOUT) as http:
                openid = await _get(http, self._url, OpenId)
                keys = await _get(http, urljoin(self._url, openid.jwks_uri), KeySet)
        except (DeliveryError, *UNREADABLE) as error:
            raise RequestRejected(503, "the keys that sign tokens are not available") from error
        self._issuer = openid.issuer
        self._keys = {str(key.get("kid")): key for key in keys.keys}
        self._fetched_at = self._now()

    def claims(self, token: str) -> tuple[dict[str, Any], list[str]]:
        """Return the claims of a token, and the channels that its key may vouch for ([]: any).

        Raises:
            RequestRejected: 403, the token is not from Bot Framework, not for this bot, or expired.
        """
        try:
            key = self._keys[_kid(token)]
            claims = jwt.decode(
                token,
                jwt.PyJWK(key, "RS256").key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "aud", "iss"]},
            )
        except (KeyError, *INVALID) as error:
            raise RequestRejected(403, "no valid Bot Framework token for this bot") from error
        return claims, key.get("endorsements") or []


class BotToken:
    """The bot's own token, shared by all calls."""

    def __init__(self, url: str, app_id: str, password: str, now: Callable[[], float]) -> None:
        """`url` is that of the token endpoint."""
        self._url = url
        self._form = {
            "client_id": app_id,
            "client_secret": password,
            "grant_type": "client_credentials",
            "scope": SCOPE,
        }
        self._now = now
        self._token = ""
        self._until = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, http: HttpClient, refused: str | None = None) -> str:
        """Return a valid token, other than the `refused` one; fetch a new one if necessary.

        Raises:
            ServiceUnavailable: the bot's id or password is wrong.
            RetryableDeliveryError: the call failed and may succeed later.
        """
        async with self._lock:
            if self._token == refused or self._now() >= self._until:
                response = await http.post_form(self._url, self._form, check=_raise_for_grant)
                try:
                    granted = msgspec.json.decode(response.body, type=Granted, strict=False)
                except UNREADABLE as error:
                    raise ServiceUnavailable("the login response has no token") from error
                self._token = granted.access_token
                self._until = self._now() + max(
                    granted.expires_in - RENEW_BEFORE, granted.expires_in / 2
                )
            return self._token


def _raise_for_grant(response: Response) -> None:
    if response.status in (400, 401, 403, 404):
        raise ServiceUnavailable(
            f"no token: HTTP {response.status}",
            fix="check 'app_id', 'app_password' and 'tenant'",
        )
    raise_for_status(response)


def _kid(token: str) -> str:
    try:
        return str(jwt.get_unverified_header(token).get("kid"))
    except INVALID:
        return ""


async def _get(http: HttpClient, url: str, shape: type[Any]) -> Any:
    return msgspec.json.decode((await http.get(url)).body, type=shape)
