"""rasa-pro's keys `username` and `password` of `twilio_voice` are checked."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from bridge.connectors.registry import load_channels
from bridge.connectors.socketio import SocketIOConnector
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.toolkit.request import Request
from bridge.connectors.twilio_voice import TwilioVoiceConnector
from bridge.errors import RequestRejected, SettingsError


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


def request(authorization: str | None) -> Request:
    headers = {} if authorization is None else {"authorization": authorization}
    return Request("POST", "https://bot/webhook", headers, {}, b"")


GUARDED: dict[str, Any] = {"username": "twilio", "password": "s3cret:ü"}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_right_password_is_accepted(scheme: str) -> None:
    connector = TwilioVoiceConnector(**GUARDED)
    assert connector.verifies()
    connector.verify(request(basic("twilio:s3cret:ü").replace("Basic", scheme)))


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic \udcff",
        basic("twilio:"),
        basic(":s3cret:ü"),
        basic("twilio:s3cret:u"),
        basic("twilio:s3cret:ü").replace("Basic", "Bearer"),
        basic("twilio:s3cret:ü") + "x",
    ],
)
def test_anything_else_is_a_401_that_asks_for_it(authorization: str | None) -> None:
    with pytest.raises(RequestRejected) as rejected:
        TwilioVoiceConnector(**GUARDED).verify(request(authorization))
    response = error_response(rejected.value)
    assert response.status == 401
    assert response.headers["www-authenticate"] == 'Basic realm="twilio_voice"'


def test_a_signature_is_checked_as_well() -> None:
    connector = TwilioVoiceConnector(auth_token="token", **GUARDED)
    with pytest.raises(RequestRejected) as rejected:
        connector.verify(request(basic("twilio:s3cret:ü")))
    assert rejected.value.status in (400, 403)


def test_without_both_nothing_is_checked_and_a_warning_says_so() -> None:
    connector = TwilioVoiceConnector()
    connector.verify(request(None))
    assert connector.warnings()
    assert not TwilioVoiceConnector(**GUARDED).warnings()


@pytest.mark.parametrize("keys", [{"username": "twilio"}, {"password": "s3cret"}])
def test_one_without_the_other_is_an_error(keys: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="belong together"):
        load_channels({"twilio_voice": keys})


def test_a_key_of_rasa_pro_that_has_no_effect_is_a_warning() -> None:
    connector = SocketIOConnector(enable_silence_timeout=True, jwt_key="k" * 32)
    assert connector.warnings() == ["key 'enable_silence_timeout' has no effect behind the bridge"]
