"""How a section of a settings file becomes constructor arguments."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import SettingsError
from bridge.settings.sections import build, convert, refuse_unknown
from bridge.settings.yaml_values import parse_yaml


class Service:
    def __init__(
        self,
        token: str,
        timeout: float = 5.0,
        retries: int | None = None,
        secure: bool = True,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.given = (token, timeout, retries, secure, headers)


class Nothing:
    def __init__(self) -> None:
        pass


class Anything:
    def __init__(self, **keys: Any) -> None:
        self.keys = keys


class Nested:
    def __init__(self, login: dict[str, str]) -> None:
        self.user = login["user"]


def test_keys_become_arguments_and_missing_keys_get_their_defaults() -> None:
    built = build(Service, {"token": "t", "retries": 3, "headers": {"X": "1"}})
    assert built.given == ("t", 5.0, 3, True, {"X": "1"})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(SettingsError, match="'token' is missing"):
        build(Service, {"timeout": 1.0})


def test_a_missing_nested_key_is_named() -> None:
    with pytest.raises(SettingsError, match="'user' is missing"):
        build(Nested, {"login": {"name": "ada"}})


@pytest.mark.parametrize(
    ("key", "hint"), [("tokn", "'token'"), ("Timeout", "'timeout'"), ("header", "'headers'")]
)
def test_an_unknown_key_is_named_with_the_closest_known_key(key: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"'{key}'; did you mean {hint}") as caught:
        build(Service, {"token": "t", key: "x"})
    assert "self" not in str(caught.value)


def test_an_unknown_key_without_a_close_match_lists_all_known_keys() -> None:
    with pytest.raises(SettingsError, match="headers, retries, secure, timeout, token"):
        build(Service, {"token": "t", "zzzzzz": "x"})


def test_a_key_for_a_channel_that_takes_none_is_an_error() -> None:
    with pytest.raises(SettingsError, match="takes no keys"):
        build(Nothing, {"url": "x"})
    assert isinstance(build(Nothing, {}), Nothing)


def test_a_constructor_that_takes_any_key_gets_every_key() -> None:
    assert build(Anything, {"a": 1, "b": [2]}).keys == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token", True),
        ("token", None),
        ("token", ["t"]),
        ("timeout", "soon"),
        ("retries", 1.5),
        ("secure", "perhaps"),
        ("headers", "X: 1"),
        ("headers", {"X": ["1"]}),
    ],
)
def test_a_value_of_a_wrong_type_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"key '{key}'"):
        build(Service, {"token": "t", key: value})


def test_an_error_never_quotes_a_value() -> None:
    for key in ("token", "timeout", "headers"):
        with pytest.raises(SettingsError) as caught:
            build(Service, {"token": "t", key: ["hunter2"]})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "hint", "result"),
    [
        ("5", int, 5),
        ("5", int | None, 5),
        ("0.5", float, 0.5),
        (5, float, 5.0),
        ("true", bool, True),
        ("False", bool, False),
        ("5", str, "5"),
        ("5", str | None, "5"),
        ("null", str | None, "null"),
        (None, str | None, None),
        ({"a": [1]}, Any, {"a": [1]}),
    ],
)
def test_a_string_from_the_environment_is_converted_to_the_expected_type(
    value: Any, hint: Any, result: Any
) -> None:
    converted = convert("key", value, hint)
    assert converted == result
    assert type(converted) is type(result)


def test_a_boolean_in_place_of_a_string_is_an_error_that_suggests_quotes() -> None:
    with pytest.raises(SettingsError, match="quotes"):
        convert("token", True, str)


def test_known_keys_are_accepted() -> None:
    refuse_unknown(["a", "b"], ["b", "a", "c"])


def test_a_number_with_a_fraction_is_a_number() -> None:
    class Waiting:
        def __init__(self, seconds: float, most: float | None = None) -> None:
            self.given = seconds, most

    waiting = build(Waiting, parse_yaml("seconds: 0.5\nmost: 1e3"))
    assert waiting.given == (0.5, 1000.0)


@pytest.mark.parametrize(("written", "seconds"), [("20s", "20"), ("1m30s", "90")])
def test_a_duration_in_the_place_of_seconds_is_translated(written: str, seconds: str) -> None:
    with pytest.raises(SettingsError) as caught:
        convert("timeout", written, float)
    assert str(caught.value) == (
        f"key 'timeout' must be a number, not a text; write the seconds alone: {seconds}"
    )
    with pytest.raises(SettingsError, match="not a text$"):
        convert("timeout", "soon", float)
