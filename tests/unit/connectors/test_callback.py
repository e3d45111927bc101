"""`callback`: its keys, and the id of each call; its table covers the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.connectors.callback import CallbackConnector
from bridge.connectors.toolkit.replies import idempotency_key
from bridge.errors import SettingsError
from tests.support.fakes import a_reply

URL = "http://bot.example/hook"


class Recording:
    """Replaces `HttpClient`, and records its call."""

    async def post_json(self, url: str, body: Any, **kwargs: Any) -> None:
        self.url, self.kwargs = url, kwargs


async def test_the_keys_of_rasas_endpoint_config_are_used() -> None:
    http = Recording()
    connector = CallbackConnector(
        URL, params={"tenant": "7"}, token="t", token_name="secret", headers={"X-Api-Key": "k"}
    )
    await connector.deliver(a_reply("e1:0"), http)  # type: ignore[arg-type]
    assert http.url == URL
    assert http.kwargs["params"] == {"tenant": "7", "secret": "t"}
    assert http.kwargs["headers"] == {"X-Api-Key": "k", "Idempotency-Key": "e1:0-eb1fe8c9a8aeae90"}


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        ({}, "'url' is missing"),
        ({"url": URL, "basic_auth": {"username": "u"}}, "'password' is missing"),
        ({"url": URL, "hedaers": {}}, "did you mean 'headers'"),
        ({"url": URL, "params": "a=1"}, "key 'params'"),
    ],
)
def test_an_error_in_the_credentials_names_the_key(credentials: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        CallbackConnector.from_credentials(credentials)


def test_an_idempotency_key_is_the_id_and_a_digest_of_the_content() -> None:
    assert idempotency_key(a_reply("m-1:0.2")) == "m-1:0.2-eb1fe8c9a8aeae90"


@given(st.text(), st.text())
def test_every_id_has_an_idempotency_key_that_a_header_can_hold(one: str, other: str) -> None:
    first, second = (idempotency_key(a_reply(id)) for id in (one, other))
    for key in (first, second):
        assert len(key) <= 255
        assert key.isascii()
        assert key.isprintable()
    assert (first == second) == (one == other)
