"""Kinds of settings files that Rasa projects have: each is read as Rasa reads it, or refused with
a line that names the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.connectors.registry import load_channels
from bridge.connectors.section import ONLY_IN_RASA_PRO
from bridge.doctor.servers import CHECKS
from bridge.errors import SettingsError
from bridge.settings.files import load_broker, load_credentials, load_endpoint


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_NAME", "bot")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOT_SET", raising=False)


def channels_in(text: str | bytes) -> list[str]:
    Path("credentials.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(load_channels(load_credentials(None)))


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfrest:\nrasa:\n  url: http://localhost:5002/api\n",
        b"rest:\r\n# comment\r\nrasa:\r\n  url: http://localhost:5002/api\r\n",
        "--- # a comment\nrest: {}\n'rasa': &api\n  url: http://localhost:5002/api\n...\n",
        "rest: ~\nrasa: &api {url: 'http://localhost:5002/api'}\n",
    ],
    ids=["byte-order mark", "windows line ends", "document marks", "flow style"],
)
def test_the_form_of_a_file_does_not_matter(text: str | bytes) -> None:
    assert channels_in(text) == ["rest", "rasa"]


def test_an_anchor_is_shared_by_channels() -> None:
    assert channels_in("rasa: &api\n  url: http://a/\ncallback:\n  <<: *api\n") == [
        "rasa",
        "callback",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rest:\n\tkey: 1", r"credentials.yml, line 2: not valid YAML"),
        ("REST:", r"unknown channel 'REST'; did you mean 'rest'\?"),
        ("- rest", r"it must be a mapping"),
        ("rest: true", r"rest: it must be a section.*; write the keys of a channel below 'rest:'"),
        ("db:\n  host: x", r"db: unknown channel 'db'; known channels: .*module.Class"),
        (
            "facebook:\n  verify: a\n  secret: b\n  page_access_token: c",
            r"unknown key 'page_access_token'; did you mean 'page-access-token'\?",
        ),
        (
            "telegram:\n  access_token: '${TOKEN}'\n  verify: bot\n  webhook_url: https://a/",
            r"not a bot token; key 'access_token': \$\{TOKEN\} is in quotes.*remove the quotes",
        ),
        (
            "callback:\n  url: ${URL:-http://localhost/}",
            r"callback: url: \$\{URL:-http://localhost/\} is not replaced.*write \$\{NAME\}",
        ),
        ("callback:\n  url: http://${NOT_SET}/", r"NOT_SET is not set; export NOT_SET"),
    ],
)
def test_a_file_is_refused_with_a_line_that_names_the_fix(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as refused:
        channels_in(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("channel", ONLY_IN_RASA_PRO)
def test_a_channel_of_rasa_pro_is_refused_and_names_the_way(channel: str) -> None:
    with pytest.raises(SettingsError, match=f"{channel}: .*rasa run --connector {channel}"):
        channels_in(f"rest:\n{channel}:\n  server_url: localhost\n")


def test_a_variable_in_quotes_is_a_text_and_noted() -> None:
    Path("credentials.yml").write_text("callback:\n  url: 'http://a/${BOT_NAME}'\n")
    (channel,) = load_channels(load_credentials(None)).values()
    assert channel.notes == [
        "key 'url': ${BOT_NAME} is in quotes and so not replaced, as in Rasa; remove the quotes"
    ]


def test_without_a_file_a_server_of_the_api_alone_has_no_channels() -> None:
    assert load_credentials(None, optional=True) == {}
    with pytest.raises(SettingsError, match="fix the path"):
        load_credentials("another.yml", optional=True)


def test_naming_the_default_file_is_the_same_as_naming_none() -> None:
    assert load_endpoint("endpoints.yml", "nlg") == {}
    assert load_broker("./endpoints.yml") == load_broker(None)
    with pytest.raises(SettingsError, match="credentials.yml: no such file; name yours"):
        load_credentials("credentials.yml")


def test_a_server_without_a_password_is_described_as_in_rasa() -> None:
    Path("endpoints.yml").write_text(
        "tracker_store:\n  type: redis\n  url: ${BOT_NAME}\n  password: ${EMPTY}\n  db: 1\n"
    )
    assert load_endpoint(None, "tracker_store") == {
        "type": "redis",
        "url": "bot",
        "password": "",
        "db": 1,
    }


@pytest.mark.parametrize("name", ["tracker_store", "action_endpoint", *CHECKS])
def test_a_variable_with_a_default_is_refused_in_every_section(name: str) -> None:
    Path("endpoints.yml").write_text(f"{name}:\n  url: http://${{HOST:-localhost}}:80\n")
    with pytest.raises(SettingsError, match=f"endpoints.yml: {name}: .*without a default"):
        load_endpoint(None, name)
