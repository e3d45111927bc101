"""Twilio's signature of requests, checked by twilio's RequestValidator; also for `twilio_voice`.

https://www.twilio.com/docs/usage/webhooks/webhooks-security and …/webhook-shared-keys. Twilio signs
the URL that it calls. That URL is the key `webhook_url`, else it is derived from proxy headers.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from twilio import request_validator
from twilio.request_validator import RequestValidator

from bridge.connectors.base import Request
from bridge.connectors.toolkit.tokens import token_list
from bridge.errors import RequestRejected, SettingsError

SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"
"""Names the algorithm of a request that is signed with a shared key; missing from others."""


class Signature:
    """Checks the signatures of one account's requests."""

    def __init__(
        self,
        auth_token: str,
        webhook_url: str | None,
        shared_key: str | list[str] | None = None,
    ) -> None:
        """`webhook_url` must be exactly the URL in Twilio's console. `shared_key` is one secret or
        a list, for requests that are not signed with the auth token, which may then be ''.

        Raises:
            SettingsError: `webhook_url` is not a URL, or twilio's library does not support shared
                keys.
        """
        if webhook_url is not None and not webhook_url.startswith(("http://", "https://")):
            raise SettingsError(
                "key 'webhook_url' is not a URL",
                fix="use the complete URL that Twilio calls, https://…",
            )
        shared = token_list(shared_key)
        if shared and not hasattr(request_validator, "get_signature_algorithm"):
            raise SettingsError(
                "key 'shared_key' needs a newer twilio", fix="pip install 'twilio>=9.13'"
            )
        self._validators = [RequestValidator(token) for token in token_list(auth_token)]
        self._shared = [RequestValidator(key) for key in shared]
        self._webhook_url = webhook_url

    def verify(self, request: Request) -> None:
        """Check the signature of a request.

        Raises:
            RequestRejected: 403, the signature is not valid; 400, the body is not a form.
        """
        url = self._webhook_url or url_of(request)
        try:
            genuine = self._is_genuine(url, request)
        except ValueError:
            # The URL has an invalid port.
            genuine = False
        if not genuine:
            called = "'webhook_url'" if self._webhook_url else url.partition("?")[0]
            fix = "" if self._webhook_url else "if Twilio calls another URL, set 'webhook_url'"
            raise RequestRejected(403, f"no valid X-Twilio-Signature for {called}", fix=fix)

    def _is_genuine(self, url: str, request: Request) -> bool:
        given = request.headers.get("x-twilio-signature", "")
        signed = url, Fields(request.fields()), given
        settings = request.headers.get(SETTINGS_HEADER)
        if settings is None or not self._shared:
            return any(validator.validate(*signed) for validator in self._validators)
        algorithm = request_validator.get_signature_algorithm(settings)
        return any(validator.validate(*signed, algorithm) for validator in self._shared)


class Fields(dict[str, list[str]]):
    """A form as RequestValidator expects it: all values of a field are signed."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def url_of(request: Request) -> str:
    """Return the URL that the sender called, according to the headers of a proxy.

    Forging these headers is useless without a signature by Twilio for the forged URL.
    """
    url = urlsplit(request.url)
    scheme = _first(request, "x-forwarded-proto") or url.scheme
    host = _first(request, "x-forwarded-host") or request.headers.get("host") or url.netloc
    return urlunsplit((scheme, host, url.path, url.query, ""))


def _first(request: Request, header: str) -> str:
    """Return the value that the outermost of several proxies set."""
    return request.headers.get(header, "").partition(",")[0].strip()
