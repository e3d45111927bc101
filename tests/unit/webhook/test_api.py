"""Calls of the API: which channel a reply may go to, who may call, which settings turn it on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jwt
import pytest

from bridge.connectors.registry import load_channels
from bridge.connectors.toolkit.request import Request
from bridge.errors import RequestRejected, SettingsError
from bridge.settings.api import ApiSettings, api_settings
from bridge.settings.files import load_broker
from bridge.webhook.api import ROUTES, outputs, wanted_format
from bridge.webhook.api_access import ApiAccess

TOP = Path(__file__).resolve().parents[3]
KEY = "k" * 32


def request(token: str | None = None, **headers: str) -> Request:
    query = {} if token is None else {"token": token}
    return Request("POST", "http://x/status", headers, query, b"")


def bearer(claims: dict[str, Any], key: str = KEY) -> Request:
    return request(authorization=f"Bearer {jwt.encode(claims, key, algorithm='HS256')}")


def status(access: ApiAccess, request: Request, conversation: str | None = "ada") -> int:
    try:
        access.check(request, conversation)
    except RequestRejected as error:
        return error.status
    return 200


def test_without_a_token_and_a_secret_anyone_may_call() -> None:
    access = ApiAccess(ApiSettings())
    assert access.is_open
    assert status(access, request()) == 200


def test_a_token_is_checked() -> None:
    access = ApiAccess(ApiSettings(auth_token="secret"))
    assert [status(access, request(token)) for token in (None, "", "Secret", "secret")] == [
        *(401, 401, 401),
        200,
    ]
    assert status(access, bearer({"user": {"role": "admin"}})) == 401


def test_an_admin_may_do_everything_and_a_user_act_on_its_conversation() -> None:
    access = ApiAccess(ApiSettings(jwt_secret=KEY))
    ada = bearer({"user": {"username": "ada", "role": "user"}})
    admin = bearer({"user": {"username": "root", "role": "admin"}})
    assert [status(access, admin, c) for c in ("ada", "bob", None)] == [200, 200, 200]
    assert [status(access, ada, c) for c in ("ada", "bob", None)] == [200, 403, 403]
    assert status(access, bearer({"user": {"role": "user"}}), None) == 403
    assert status(access, bearer({"user": {"role": "admin"}}, "x" * 32)) == 401
    assert status(access, request("")) == 401


def test_the_other_method_is_accepted_beside_a_token() -> None:
    access = ApiAccess(ApiSettings(auth_token="secret", jwt_secret=KEY))
    assert status(access, request("secret")) == 200
    assert status(access, bearer({"user": {"role": "admin"}})) == 200


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(SettingsError, match="jwt_method"):
        ApiAccess(ApiSettings(jwt_secret=KEY, jwt_method="none"))


def test_replies_go_to_channels_that_deliver_serves() -> None:
    channels = load_channels(
        {
            "rest": {},
            "callback": {"url": "http://x/"},
            "web": {"channel": "callback", "url": "http://y/", "conversation_prefix": "web:"},
        }
    )
    assert {*outputs(channels, "ada")} == {"callback"}
    assert {*outputs(channels, "web:ada")} == {"callback", "web"}
    assert outputs(channels, "web:ada")["web"] == {
        "channel": "web",
        "input_channel": "callback",
        "output_channel": "callback",
    }


def test_the_name_of_rasa_finds_a_channel_with_another_key() -> None:
    section = {"channel": "slack", "slack_token": "x", "slack_signing_secret": "y"}
    found = outputs(load_channels({"sales": section}), "U1")
    assert found["slack"] == found["sales"]
    assert found["slack"]["channel"] == "sales"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/x-yaml", "yaml"),
        ("text/html", None),
    ],
)
def test_the_domain_has_two_formats(accept: str | None, wanted: str | None) -> None:
    asked = request(**({} if accept is None else {"accept": accept}))
    if wanted is None:
        with pytest.raises(RequestRejected):
            wanted_format(asked)
    else:
        assert wanted_format(asked) == wanted


def test_the_api_is_off_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert api_settings(load_broker(None).api, {"auth_token": "x"}, False) is None
    assert api_settings(None, {}, True) is not None
    assert api_settings(False, {}, False) is None


def test_flags_come_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "endpoints.yml"
    path.write_text("bridge:\n  api:\n    auth_token: ${API_TOKEN}\n    timeout: 5\n")
    monkeypatch.delenv("API_TOKEN", raising=False)
    broker = load_broker(str(path))  # a worker does not need the token
    with pytest.raises(SettingsError, match="API_TOKEN"):
        api_settings(broker.api, {}, False)
    settings = api_settings(broker.api, {"auth_token": "flag", "jwt_secret": None}, False)
    assert settings is not None
    assert (settings.auth_token, settings.timeout, settings.jwt_secret) == ("flag", 5, None)
    path.write_text("bridge:\n  api: {auth_tokn: x}\n")
    with pytest.raises(SettingsError, match="did you mean 'auth_token'"):
        api_settings(load_broker(str(path)).api, {}, False)


def test_workers_and_documentation_know_every_route() -> None:
    source = (TOP / "worker" / "api.py").read_text()
    table = source.partition("ROUTES: ")[2]
    known = re.findall(r'^    "(\w+)": ', table, re.MULTILINE)
    assert sorted(known) == sorted(route.command for route in ROUTES)
    page = (TOP / "docs" / "reference" / "rasa-api.md").read_text()
    for route in ROUTES:
        path = route.path.replace("<conversation_id:path>", "<id>")
        assert f"`{route.method} {path}`" in page, path
