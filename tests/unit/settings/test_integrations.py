"""Channels of integrations.yml are read like those of credentials.yml."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.settings.files import credentials_file, load_credentials


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str = "") -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


TWO = """
channels:
  rest:
  callback: {enabled: true, url: http://bot/}
llm:
  model: ${UNSET}
"""


def test_each_key_of_its_section_channels_is_a_channel() -> None:
    write("integrations.yml", TWO)
    expected = {"rest": {}, "callback": {"url": "http://bot/"}}
    assert load_credentials(None) == expected
    assert load_credentials("integrations.yml") == expected


def test_a_file_elsewhere_is_known_by_its_name() -> None:
    write("shop/integrations.yml", TWO)
    assert list(load_credentials("shop/integrations.yml")) == ["rest", "callback"]


@pytest.mark.parametrize("value", ["false", "no", "'false'", "0"])
def test_a_channel_that_is_not_enabled_is_left_out(value: str) -> None:
    write(
        "integrations.yml", f"channels:\n  rest:\n  slack: {{enabled: {value}, slack_token: x}}\n"
    )
    assert list(load_credentials(None)) == ["rest"]


@pytest.mark.parametrize(
    ("files", "read"),
    [
        (["credentials.yml"], "credentials.yml"),
        (["integrations.yml"], "integrations.yml"),
        ([], "credentials.yml"),
        # A stray integrations.yml: rasa-pro reads credentials.yml.
        (["credentials.yml", "integrations.yml"], "credentials.yml"),
        (["credentials.yml", "integrations.yml", "agent.yml"], "integrations.yml"),
        (["credentials.yml", "integrations.yml", "skills/order/skill.md"], "integrations.yml"),
        (["credentials.yml", "integrations.yml", "skills/_old/skill.md"], "credentials.yml"),
        (["credentials.yml", "agent.yml", "skills/order/skill.md"], "credentials.yml"),
    ],
)
def test_without_an_option_the_file_is_the_one_that_rasa_reads(files: list[str], read: str) -> None:
    for file in files:
        write(file)
    assert credentials_file(None) == read
    assert credentials_file("other.yml") == "other.yml"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("channels: [rest]", "integrations.yml: channels: it must be a mapping"),
        ("channels: {rest: {enabled: maybe}}", "channels: rest: key 'enabled' must be true or"),
        ("channels: {rest: text}", "integrations.yml: rest: it must be a section"),
        ("channels: {a2a: }", "'a2a' is no input channel; .*a2a_server"),
        ("channels:\n  slack:\n    slack_token: ${UNSET}", "slack.*UNSET is not set"),
    ],
)
def test_a_mistake_is_reported_with_the_name_of_the_file(text: str, problem: str) -> None:
    write("integrations.yml", text)
    with pytest.raises(SettingsError, match=problem):
        load_credentials(None)
