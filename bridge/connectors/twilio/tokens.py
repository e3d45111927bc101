"""Who posts: X-Twilio-Signature, checked by twilio's own RequestValidator.

https://www.twilio.com/docs/usage/webhooks/webhooks-security and …/webhook-shared-keys. Twilio signs
the URL that it calls, so that URL must be known here: by `webhook_url`, else by what a proxy says.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from twilio import request_validator
from twilio.request_validator import RequestValidator

from bridge.connectors.base import Request
from bridge.connectors.toolkit.tokens import token_list
from bridge.errors import RequestRejected, SettingsError

SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"
"""By which algorithm a request is signed; there if it is signed with a shared key."""
FORM = "application/x-www-form-urlencoded"


class Signature:
    """Checks the requests of one account."""

    def __init__(
        self,
        auth_token: str,
        webhook_url: str | None,
        shared_key: str | list[str] | None = None,
    ) -> None:
        """`webhook_url`: exactly as it stands in Twilio's console. `shared_key`: the secret of one
        or several, for requests that are not signed with the auth token; that may then be ''.

        Raises:
            SettingsError: it is no complete URL; twilio's library is too old for shared keys.
        """
        if webhook_url is not None and not webhook_url.startswith(("http://", "https://")):
            raise SettingsError("key 'webhook_url': the complete URL that Twilio calls, https://…")
        shared = token_list(shared_key)
        if shared and not hasattr(request_validator, "get_signature_algorithm"):
            raise SettingsError("key 'shared_key' needs another twilio: pip install 'twilio>=9.13'")
        self._validators = [RequestValidator(token) for token in token_list(auth_token)]
        self._shared = [RequestValidator(key) for key in shared]
        self._webhook_url = webhook_url

    def verify(self, request: Request) -> None:
        """Check a request.

        Raises:
            RequestRejected: 403; 400, it is no form.
        """
        url = self._webhook_url or url_of(request)
        try:
            genuine = self._is_genuine(url, request)
        except ValueError:
            # A port that is no number.
            genuine = False
        if not genuine:
            raise RequestRejected(403, f"no valid X-Twilio-Signature for {self._named(url)}")

    def _is_genuine(self, url: str, request: Request) -> bool:
        given = request.headers.get("x-twilio-signature", "")
        signed = url, Fields(request.fields()), given
        settings = request.headers.get(SETTINGS_HEADER)
        if settings is None or not self._shared:
            return any(validator.validate(*signed) for validator in self._validators)
        algorithm = request_validator.get_signature_algorithm(settings)
        return any(validator.validate(*signed, algorithm) for validator in self._shared)

    def _named(self, url: str) -> str:
        if self._webhook_url:
            return "'webhook_url'"
        called = url.partition("?")[0]
        return f"{called}: if Twilio calls another URL, it is the key 'webhook_url'"


class Fields(dict[str, list[str]]):
    """A form as the validator wants it: a field may have several values, and all are signed."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def url_of(request: Request) -> str:
    """Return the URL of a request as a proxy in front says that it was called.

    Who forges these headers still needs a signature that Twilio made for that very URL.
    """
    url = urlsplit(request.url)
    scheme = _first(request, "x-forwarded-proto") or url.scheme
    host = _first(request, "x-forwarded-host") or request.headers.get("host") or url.netloc
    return urlunsplit((scheme, host, url.path, url.query, ""))


def _first(request: Request, header: str) -> str:
    """Return what the outermost of several proxies says."""
    return request.headers.get(header, "").partition(",")[0].strip()


def expect_form(request: Request) -> dict[str, str]:
    """Return the fields of a request.

    Raises:
        RequestRejected: 415, it is no form; 400, it is none of Twilio's.
    """
    if request.content_type != FORM:
        raise RequestRejected(415, f"send {FORM}")
    form = request.form()
    if not form.get("From"):
        raise RequestRejected(400, "the form has no 'From': send Twilio's")
    return form
