"""Checks Google's tokens, and fetches the certificates that sign them, which rotate.

https://developers.google.com/workspace/chat/verify-requests-from-chat
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.x509 import load_pem_x509_certificate

from bridge.connectors.toolkit.fetch import fetch
from bridge.connectors.toolkit.refreshed import Refreshed
from bridge.connectors.toolkit.request import decode_json
from bridge.connectors.toolkit.signed_tokens import INVALID
from bridge.errors import RequestRejected

log = logging.getLogger(__name__)

CHAT = "chat@system.gserviceaccount.com"
OF_PROJECT = "service-{}@gcp-sa-gsuiteaddons.iam.gserviceaccount.com"
"""Google's service account for the Chat app of one project; {} is the project's number."""
CERTS_URL = f"https://www.googleapis.com/service_accounts/v1/metadata/x509/{CHAT}"
ID_CERTS_URL = "https://www.googleapis.com/oauth2/v1/certs"
ID_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
HOUR = 3600.0
"""Seconds for which certificates are valid if the response has no max-age."""
REFRESH_AFTER = 60.0
"""Seconds between two fetches, if a token names an unknown key: anyone can send such tokens."""
LEEWAY = 60
"""Clock difference that is tolerated, in seconds."""


class GoogleTokens:
    """Checks the bearer tokens of Google Chat for one project.

    The app's Authentication Audience selects the kind of token: tokens that Chat signs for the
    project's number, or Google ID tokens of Chat's account for the URL that it calls.
    """

    def __init__(
        self,
        project: str,
        now: Callable[[], float],
        webhook_url: str | None = None,
        certs_url: str | None = None,
    ) -> None:
        """`now` returns the Unix time. `webhook_url` is set if the audience is the URL; `certs_url`
        replaces the URL of Google's certificates.
        """
        self._project = project
        self._webhook_url = webhook_url
        self._certs_url = certs_url or (ID_CERTS_URL if webhook_url else CERTS_URL)
        self._now = now
        self._certs: dict[str, str] = {}
        self._fetched_at = 0.0
        self._fresh_for = 0.0
        self._refreshed = Refreshed(self._fetch, now)

    async def refresh(self, token: str) -> None:
        """Fetch the certificates if they are old, or if the token names an unknown key.

        Raises:
            RequestRejected: 503, no certificates are available.
        """
        id = _key_id(token)

        def is_needed() -> bool:
            age = self._now() - self._fetched_at
            lasts = self._fresh_for if id in self._certs else REFRESH_AFTER
            return bool(id) and not (self._certs and age < lasts)

        await self._refreshed.refresh(is_needed, lambda: id in self._certs)

    async def _fetch(self) -> None:
        try:
            response = await fetch(self._certs_url)
            certs = decode_json(response.body, dict[str, str])
        except RequestRejected as error:
            log.warning("Google's certificates could not be fetched: %s", error)
            raise RequestRejected(503, "Google's certificates are not available") from error
        self._certs = certs
        self._fetched_at, self._fresh_for = self._now(), _max_age(response.headers)

    def check(self, token: str) -> dict[str, Any]:
        """Return the claims of a token.

        Raises:
            RequestRejected: 403, the token is not from Google Chat, not for this project or URL, or
                expired.
        """
        try:
            certificate = self._certs.get(_key_id(token), "").encode()
            claims: dict[str, Any] = jwt.decode(
                token,
                load_pem_x509_certificate(certificate).public_key(),  # type: ignore[arg-type]
                algorithms=["RS256"],
                audience=self._webhook_url or self._project,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
            if not self._is_of_chat(claims):
                raise jwt.InvalidIssuerError
        except INVALID as error:
            log.info("token refused: %s", type(error).__name__)
            key = "webhook_url" if self._webhook_url else "project_id"
            raise RequestRejected(403, f"no valid Google Chat token for '{key}'") from error
        return claims

    def _is_of_chat(self, claims: Mapping[str, Any]) -> bool:
        if not self._webhook_url:
            return bool(claims["iss"] == CHAT)
        accounts = (CHAT, OF_PROJECT.format(self._project))
        return (
            claims["iss"] in ID_ISSUERS
            and claims.get("email") in accounts
            and claims.get("email_verified") is True
        )


def _key_id(token: str) -> str:
    """Return the id of the key that a token names; '' if it names none."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except INVALID:
        return ""


def _max_age(headers: Mapping[str, str]) -> float:
    """Return how many seconds a response may be cached, by its Cache-Control header."""
    value = next((v for k, v in headers.items() if k.lower() == "cache-control"), "")
    found = re.search(r"max-age=(\d{1,7})", value)
    return float(found[1]) if found else HOUR
