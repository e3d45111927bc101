"""credentials.yml that Rasa accepts; the bridge's options apart from the keys of a channel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.connectors.limits import RateLimit
from bridge.connectors.registry import Channel, load_channels
from bridge.connectors.warnings import warnings_of
from bridge.errors import SettingsError
from bridge.settings.files import load_credentials

CUSTOM = """
class Output:
    pass


class MyIO:
    @classmethod
    def name(cls):
        return "myio"

    @classmethod
    def from_credentials(cls, credentials):
        channel = cls()
        channel.credentials = credentials
        return channel

    def blueprint(self, on_new_message):
        raise NotImplementedError

    def get_output_channel(self):
        return Output()
"""
SLACK = "slack:\n  slack_token: xoxb-1\n  slack_signing_secret: s\n"
TWILIO = "twilio:\n  account_sid: AC1\n  auth_token: t\n"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "section_io.py").write_text(CUSTOM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def load_all(text: str) -> dict[str, Channel]:
    Path("credentials.yml").write_text(text)
    return load_channels(load_credentials(None))


def load(text: str) -> Channel:
    (channel,) = load_all(text).values()
    return channel


# what Rasa accepts

ACCEPTED = {
    "botframework": "botframework:\n  app_id: 123\n  app_password: 456\n",
    "callback": "callback:\n  url: https://x.org\n  params: {n: 1}\n  headers: {X-Try: 2}\n",
    "facebook": "facebook:\n  verify: 1234\n  secret: 12345678e12345\n  page-access-token: 01\n",
    "hangouts": "hangouts:\n  project_id: 12345678901\n",
    "mattermost": "mattermost:\n  url: https://m.org/api/v4\n  team: t\n  user: 1\n  pw: 2\n",
    "rasa": 'rasa:\n  url: "http://localhost:5002/api"\n',
    "rest": "rest:\n  # nothing to provide here\n",
    "rocketchat": "rocketchat:\n  user: 1\n  password: 2\n  server_url: https://r.org\n",
    "slack": SLACK + "  slack_channel: 7\n  proxy: None\n  errors_ignore_retry: None\n",
    "socketio": "socketio:\n  session_persistence: yes\n  namespace: None\n  metadata_key: 1\n",
    "telegram": 'telegram:\n  access_token: "1:a"\n  verify: 5\n  webhook_url: "https://x.org"\n',
    "twilio": TWILIO + "  twilio_number: +15550100\n",
    "twilio_voice": "twilio_voice:\n  initial_prompt: 1\n  speech_timeout: 5\n  enhanced: false\n",
    "webexteams": "webexteams:\n  access_token: 12345\n  room: 678\n",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_numbers_and_keys_of_older_versions_are_accepted_in_every_channel_of_rasa(
    name: str,
) -> None:
    assert load(ACCEPTED[name]).name == name


def test_an_unquoted_number_is_the_text_that_the_file_shows() -> None:
    connector: Any = load(ACCEPTED["facebook"]).connector
    assert connector._params["access_token"] == "01"
    assert connector._secret == "12345678e12345"
    connector = load(ACCEPTED["twilio"]).connector
    assert connector._number == "+15550100"
    connector = load(ACCEPTED["callback"]).connector
    assert (connector.params, connector.headers) == ({"n": "1"}, {"X-Try": "2"})


@pytest.mark.parametrize("text", ["None", "http_timeout", "http_timeout, http_error"])
def test_errors_ignore_retry_may_be_a_text(text: str) -> None:
    connector: Any = load(f"{SLACK}  errors_ignore_retry: {text}\n").connector
    named = [] if text == "None" else text.split(", ")
    assert connector._ignored_retries == named


@pytest.mark.parametrize(
    ("written", "persistent"), [("yes", True), ("On", True), ("no", False), ("FALSE", False)]
)
def test_a_switch_may_be_written_in_words(written: str, persistent: bool) -> None:
    connector: Any = load(f"socketio:\n  session_persistence: {written}\n").connector
    assert connector._options.persistent is persistent


def test_yaml_is_read_as_version_1_2() -> None:
    Path("credentials.yml").write_text("rest: {a: 010, b: 0x1F, c: no, d: 12:30, e: 1e3, f: .5}")
    assert load_credentials(None)["rest"] == {
        "a": 10,
        "b": 31,
        "c": "no",
        "d": "12:30",
        "e": 1000.0,
        "f": 0.5,
    }


def test_a_secret_may_not_be_the_word_none() -> None:
    with pytest.raises(SettingsError, match="key 'jwt_key' is the text 'None'"):
        load("socketio:\n  jwt_key: None\n")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            SLACK + "  use_thread: true\n",
            "unknown key 'use_thread' is ignored, as in Rasa; did you",
        ),
        (ACCEPTED["mattermost"], "unknown key 'team' is ignored, as in Rasa; known keys: url, "),
        ("rest:\n  url: http://x.org\n", "unknown key 'url' is ignored"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_known_key(text: str, warning: str) -> None:
    channel = load(text)
    assert any(line.startswith(warning) for line in warnings_of(channel, [channel]))


def test_the_channel_of_a_terminal_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    assert list(load_all("cmdline:\nrest:\n")) == ["rest"]
    assert "rasa-bridge send" in caplog.text


# options of the bridge


@pytest.mark.parametrize("name", ["rest", "section_io.MyIO"])
def test_options_are_keys_of_bridge_in_every_section(name: str) -> None:
    options = "{rate_limit: 5, burst: 2, priority: low, conversation_prefix: 'a:'}"
    channel = load(f"{name}:\n  bridge: {options}\n")
    assert channel.rate_limit == RateLimit(5, 2)
    assert (channel.connector.priority, channel.connector.conversation_prefix) == ("low", "a:")


def test_every_other_key_of_a_custom_channel_is_its_own() -> None:
    keys = "channel: 7\n  rate_limit: fast\n  priority: 1\n  burst:\n  conversation_prefix: []\n"
    channel = load(f"section_io.MyIO:\n  {keys}  bridge: {{run_in_thread: true}}\n")
    connector: Any = channel.connector
    given = connector._input_channel.credentials
    assert given == {
        "channel": 7,
        "rate_limit": "fast",
        "priority": 1,
        "burst": None,
        "conversation_prefix": [],
    }
    assert type(given["channel"]) is int
    assert channel.rate_limit is None
    assert connector._run_in_thread is True
    assert "the bridge's option is 'bridge.rate_limit'" in warnings_of(channel, [channel])[0]


def test_an_instance_names_its_channel_in_either_place() -> None:
    section = "my:\n  bridge: {channel: section_io.MyIO}\n  channel: 7\n"
    channels = load_all(f"{section}sales:\n  channel: rest\n  rate_limit: 1\n")
    connector: Any = channels["my"].connector
    assert connector._input_channel.credentials == {"channel": 7}
    assert channels["sales"].connector.name == "rest"
    assert channels["sales"].rate_limit == RateLimit(1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rest: {bridge: {rate_limt: 1}}", "unknown key of 'bridge' 'rate_limt'; did you mean"),
        ("rest: {bridge: 5}", "key 'bridge' must be a section with keys"),
        ("rest: {rate_limit: 1, bridge: {rate_limit: 2}}", "key 'rate_limit' is given twice"),
        ("section_io.MyIO: {bridge: {priority: 1}}", "key 'priority' must be one of"),
    ],
)
def test_a_wrong_option_is_an_error(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=f"^credentials.yml: .*{named}"):
        load_all(text)
