"""A key that is given but blank is an error: a blank secret would leave a channel open."""

from __future__ import annotations

import base64
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.connectors.registry import CONNECTORS, load_channel, load_channels
from bridge.errors import SettingsError
from bridge.settings.files import load_broker, load_credentials
from tests.integration.connectors.test_connectors import TABLES

SECTIONS: dict[str, dict[str, Any]] = {
    **{table.channel: table.section("http://127.0.0.1:1/") for table in TABLES},
    "socketio": {},
}
BLANK = ["", "  ", "\n", "\u200b" * 30, "\ufeff", "\0", None, [], [""], ["x" * 30, " "]]


def keys_of(channel: str) -> list[str]:
    connector = load_channel(channel, SECTIONS[channel]).connector
    names = [*inspect.signature(type(connector)).parameters]
    return [name.replace("page_access_token", "page-access-token") for name in names]


@pytest.mark.parametrize("channel", CONNECTORS)
def test_every_blank_key_of_every_channel_is_an_error(channel: str) -> None:
    for key in keys_of(channel):
        for blank in BLANK:
            with pytest.raises(SettingsError, match=f"key '{key}(.[01])?' "):
                load_channel(channel, {**SECTIONS[channel], key: blank})


@pytest.mark.parametrize("channel", CONNECTORS)
def test_a_variable_that_is_exported_but_empty_is_an_error_for_every_key(
    channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("SPACE", " ")
    path = tmp_path / "credentials.yml"
    for key in keys_of(channel):
        for name in ("EMPTY", "SPACE"):
            section = {**SECTIONS[channel], key: f"${{{name}}}"}
            path.write_text(yaml.safe_dump({channel: section}, default_style=None).replace("'", ""))
            with pytest.raises(SettingsError, match=rf"{key}: .* variable {name} is empty"):
                load_channels(load_credentials(str(path)))


@pytest.mark.parametrize("key", ["basic_auth.password", "headers.X-Api-Key", "params.tenant"])
def test_a_blank_key_inside_a_key_is_an_error(key: str) -> None:
    outer, _, inner = key.partition(".")
    section = {"url": "https://app.example", "basic_auth": {"username": "u", "password": "p"}}
    changed = {**section, outer: {"username": "u", "password": "p", inner: ""}}
    with pytest.raises(SettingsError, match=f"key '{key}' is empty"):
        load_channel("callback", changed)


@pytest.mark.parametrize("text", ["url: ''", "url:", "url: []", "url: ['']", "namespace: ' '"])
def test_a_blank_key_of_the_broker_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yml"
    path.write_text(f"bridge:\n  {text}\n")
    with pytest.raises(SettingsError, match="is empty"):
        load_broker(str(path))


@pytest.mark.parametrize("length", [0, 1, 16, 23, 24, 64])
def test_a_key_of_webhook_has_at_least_24_bytes(length: int) -> None:
    secret = "whsec_" + base64.b64encode(b"x" * length).decode()
    section = {"url": "https://app.example", "secret": secret}
    if length >= 24:
        load_channel("webhook", section)
        return
    with pytest.raises(SettingsError, match="24 bytes or more"):
        load_channel("webhook", section)
