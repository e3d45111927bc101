"""Google's tokens: who signs them, and with which certificates, which change from time to time.

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
from bridge.connectors.toolkit.request import decode_json
from bridge.errors import RequestRejected

log = logging.getLogger(__name__)

CHAT = "chat@system.gserviceaccount.com"
OF_PROJECT = "service-{}@gcp-sa-gsuiteaddons.iam.gserviceaccount.com"
"""Google's account for the Chat app of one project, by its number."""
CERTS_URL = f"https://www.googleapis.com/service_accounts/v1/metadata/x509/{CHAT}"
ID_CERTS_URL = "https://www.googleapis.com/oauth2/v1/certs"
ID_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
HOUR = 3600.0
UNKNOWN = 60.0
"""Seconds between two fetches for keys that are not known: anybody can name such a one."""
LEEWAY = 60
"""Seconds that Google's clock and ours may differ."""


class GoogleTokens:
    """Checks bearer tokens of Google Chat for one project.

    Chat signs them itself for the project's number, or they are Google's ID tokens of Chat's
    account for the URL that it calls: the app's Authentication Audience says which.
    """

    def __init__(
        self,
        project: str,
        now: Callable[[], float],
        webhook_url: str | None = None,
        certs_url: str | None = None,
    ) -> None:
        """`now`: Unix time, by which certificates grow old. `webhook_url`: the audience, if it is
        the URL; `certs_url`: if not Google's.
        """
        self._project = project
        self._webhook_url = webhook_url
        self._certs_url = certs_url or (ID_CERTS_URL if webhook_url else CERTS_URL)
        self._now = now
        self._certs: dict[str, str] = {}
        self._fetched_at = 0.0
        self._fresh_for = 0.0

    async def refresh(self, token: str) -> None:
        """Fetch the certificates if they are old, or if none of them has signed the token.

        Raises:
            RequestRejected: 503, there are none.
        """
        age = self._now() - self._fetched_at
        known = _key_id(token) in self._certs
        if self._certs and age < (self._fresh_for if known else UNKNOWN):
            return
        try:
            response = await fetch(self._certs_url)
            certs = decode_json(response.body, dict[str, str])
        except RequestRejected as error:
            if self._certs:
                log.warning("the certificates of Google could not be renewed: %s", error)
                return
            raise RequestRejected(503, f"Google's certificates cannot be had: {error}") from error
        self._certs = certs
        self._fetched_at, self._fresh_for = self._now(), _max_age(response.headers)

    def check(self, token: str) -> dict[str, Any]:
        """Return what a token claims.

        Raises:
            RequestRejected: 403, it is not by Google Chat, not for this project or URL, or not of
                today.
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
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            log.info("token refused: %s", type(error).__name__)
            key = "webhook_url" if self._webhook_url else "project_id"
            raise RequestRejected(403, f"no valid token of Google Chat for '{key}'") from error
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
    """Return which key a token says has signed it; '' if it says nothing."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except (jwt.PyJWTError, ValueError, TypeError):
        return ""


def _max_age(headers: Mapping[str, str]) -> float:
    """Return for how many seconds an answer may be kept, by its Cache-Control."""
    value = next((v for k, v in headers.items() if k.lower() == "cache-control"), "")
    found = re.search(r"max-age=(\d{1,7})", value)
    return float(found[1]) if found else HOUR
