"""A key that is missing is named, and so is where its value is found."""

from __future__ import annotations

import importlib

import pytest

from bridge.connectors.base import Connector
from bridge.connectors.registry import CONNECTORS, load_channels
from bridge.connectors.required import WHERE, required_keys
from bridge.errors import SettingsError


def class_of(channel: str) -> type[Connector]:
    module, _, name = CONNECTORS[channel].rpartition(".")
    cls: type[Connector] = getattr(importlib.import_module(module), name)
    return cls


REQUIRED = [
    (channel, key) for channel in sorted(CONNECTORS) for key in required_keys(class_of(channel))
]


@pytest.mark.parametrize(("channel", "key"), REQUIRED)
def test_the_error_says_where_the_value_is_found(channel: str, key: str) -> None:
    given = dict.fromkeys(required_keys(class_of(channel)), "x")
    del given[key]
    with pytest.raises(SettingsError) as caught:
        load_channels({channel: given})
    assert f"key '{key}' is missing" in str(caught.value)
    assert caught.value.fix == WHERE[channel, key]


def test_the_table_names_no_key_that_may_be_left_out() -> None:
    assert sorted(WHERE) == sorted(REQUIRED)


def test_a_section_of_another_name_gets_the_same_error() -> None:
    with pytest.raises(SettingsError, match="Basic Information"):
        load_channels({"sales": {"bridge": {"channel": "slack"}, "slack_token": "x"}})
