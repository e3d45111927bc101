"""Every key and option that is a URL must be a complete one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from click.testing import CliRunner

from bridge.cli import COMMANDS, cli
from bridge.connectors.registry import CONNECTORS, _import, load_channels
from bridge.errors import SettingsError

WHATSAPP = {"access_token": "t", "phone_number_id": "1", "app_secret": "s", "verify": "v"}
SECTIONS: dict[str, dict[str, Any]] = {
    "botframework": {"app_id": "a", "app_password": "b"},
    "callback": {"url": "https://x.example/"},
    "facebook": {"page-access-token": "x"},
    "hangouts": {"project_id": "1"},
    "mattermost": {"url": "https://x.example/api/v4", "token": "t"},
    "rasa": {"url": "http://localhost:5002/api"},
    "rocketchat": {"user": "u", "password": "p", "server_url": "https://x.example"},
    "slack": {"slack_token": "x", "slack_signing_secret": "s"},
    "telegram": {"access_token": "1:a", "verify": "bot"},
    "twilio": {"account_sid": "AC1", "auth_token": "t", "twilio_number": "+1"},
    "twilio_voice": {},
    "webexteams": {"access_token": "t", "room": "r"},
    "webhook": {"url": "https://x.example/", "secret": "whsec_" + "A" * 32},
    "whatsapp": WHATSAPP,
}
FURTHER = {"twilio": ["status_callback"]}


def urls() -> list[tuple[str, str]]:
    """Return each channel with each of its keys that is a URL, by the key's name."""
    found = []
    for channel, path in CONNECTORS.items():
        names = inspect.signature(_import(path)).parameters
        keys = [name for name in names if name == "url" or name.endswith("_url")]
        found += [(channel, key) for key in [*keys, *FURTHER.get(channel, [])]]
    return found


@pytest.mark.parametrize(("channel", "key"), urls())
def test_a_key_that_is_a_url_needs_scheme_and_host(channel: str, key: str) -> None:
    section = SECTIONS[channel]
    load_channels({channel: {**section, key: " https://host.example:8443/path?x=1 "}})
    for wrong in ("host.example/s3kr1t", "localhost:8080/s3kr1t", "ftp://h/", "https:///s3kr1t",
                  "https://h:port/s3kr1t", "https://a b/s3kr1t", "//host/s3kr1t"):  # fmt: skip
        with pytest.raises(SettingsError) as caught:
            load_channels({channel: {**section, key: wrong}})
        assert str(caught.value) == (
            f"credentials.yml: {channel}: key '{key}' is not a URL;"
            " write it in full, as https://host/path"
        )


def options() -> list[tuple[str, str]]:
    """Return each command with each of its options that takes a URL."""
    found = []
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for one in getattr(command, "commands", {name: command}).values():
            line = name if one is command else f"{name} {one.name}"
            found += [(line, p.opts[0]) for p in one.params if p.metavar == "URL"]
    return found


@pytest.mark.parametrize(("line", "option"), options())
def test_an_option_that_is_a_url_needs_scheme_and_host(line: str, option: str) -> None:
    ran = CliRunner().invoke(cli, [*line.split(), option, "localhost:15672"])
    assert isinstance(ran.exception, SettingsError)
    assert ran.exception.problem == f"{option} is not a URL"


def test_a_key_that_another_role_needs_may_stay_unset(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge.settings.files import load_credentials

    path = tmp_path / "credentials.yml"
    path.write_text("callback:\n  url: ${NO_SUCH_URL}\n")
    monkeypatch.delenv("NO_SUCH_URL", raising=False)
    load_channels(load_credentials(str(path), strict=False), role="webhook")
