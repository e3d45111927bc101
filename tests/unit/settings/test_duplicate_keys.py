"""A key that stands twice in a settings file is an error: one of its values would be ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.settings.files import load_broker, load_credentials
from bridge.settings.yaml_values import parse_yaml


def refused(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    load = load_broker if name == "endpoints.yml" else load_credentials
    with pytest.raises(SettingsError) as caught:
        load(str(path))
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("text", "line", "key", "first"),
    [
        ("bridge:\n  url: amqp://a/\n\nbridge:\n  namespace: b\n", 4, "bridge", 1),
        ("bridge:\n  url: amqp://a/\n  namespace: b\n  url: amqp://c/\n", 4, "url", 2),
        ("bridge: {namespace: a, namespace: b}\n", 1, "namespace", 1),
        ("bridge:\n  partitions:\n    inbound: 1\n    'inbound': 2\n", 4, "inbound", 3),
        ("tracker_store:\n  type: SQL\n  type: redis\n", 3, "type", 2),
        ("a:\n- {b: 1}\n- {b: 1, b: 2}\n", 3, "b", 3),
    ],
)
def test_endpoints_name_the_key_and_both_lines(
    text: str, line: int, key: str, first: int, tmp_path: Path
) -> None:
    assert refused(tmp_path, "endpoints.yml", text) == (
        f"endpoints.yml, line {line}: key '{key}' is already on line {first};"
        " remove one of them, or join the two"
    )


def test_credentials_name_the_channel_and_both_lines(tmp_path: Path) -> None:
    text = "rest:\n  token: a\ncallback:\n  url: http://x/\nrest:\n"
    message = refused(tmp_path, "credentials.yml", text)
    assert message.startswith("credentials.yml, line 5: key 'rest' is already on line 1;")


def test_a_value_is_not_shown(tmp_path: Path) -> None:
    assert "s3kr1t" not in refused(tmp_path, "credentials.yml", "rest: {token: s3kr1t, token: b}")


def test_merged_keys_and_equal_keys_of_two_mappings_are_no_duplicates() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y\n  <<: *x\n  a: 3\nz:\n  <<: *y\n  b: 4\n"
    assert parse_yaml(text)["z"] == {"a": 3, "b": 4}
