"""`webhook`: compatibility with Standard Webhooks, and the form of secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bridge.connectors.webhook import WebhookConnector
from bridge.errors import RequestRejected, SettingsError
from tests.support.fakes import a_reply, a_request

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + base64.b64encode(b"a newer secret of 27 bytes.").decode()


class Recording:
    """Replaces `HttpClient`, and records the posted body."""

    async def post_bytes(self, url: str, body: bytes, **kwargs: Any) -> None:
        self.body, self.headers = body, kwargs["headers"]


def test_the_example_of_the_official_libraries_is_accepted() -> None:
    connector = WebhookConnector("http://x/", OLD)
    connector.now = lambda: 1614265330.0  # type: ignore[method-assign]
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    connector.verify(a_request(b'{"test": 2432232314}', headers))
    with pytest.raises(RequestRejected):
        connector.verify(a_request(b'{"test": 2432232315}', headers))


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_a_receiver_with_either_secret_can_verify_a_reply(secret: str) -> None:
    http = Recording()
    connector = WebhookConnector("http://x/", [NEW, OLD])
    await connector.deliver(a_reply(text="naïve"), http)  # type: ignore[arg-type]
    assert Webhook(secret).verify(http.body, http.headers)["text"] == "naïve"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_AAAA").verify(http.body, http.headers)


async def test_different_replies_have_different_ids_without_dots() -> None:
    ids = set()
    for id in ("a.b:0", "a-b:0", "a%2Eb:0", "a%b:0", "é.b:0"):
        http = Recording()
        await WebhookConnector("http://x/", NEW).deliver(a_reply(id), http)  # type: ignore[arg-type]
        ids.add(http.headers["webhook-id"])
    assert len(ids) == 5
    assert not [id for id in ids if "." in id]


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_é", [], [NEW, "x"]]
)
def test_the_error_for_a_malformed_secret_does_not_quote_it(secret: Any) -> None:
    with pytest.raises(SettingsError, match="'secret'") as caught:
        WebhookConnector.from_credentials({"url": "http://x/", "secret": secret})
    assert "MfKQ" not in str(caught.value)


def test_a_secret_is_required() -> None:
    with pytest.raises(SettingsError, match="'secret' is missing"):
        WebhookConnector.from_credentials({"url": "http://x/"})
