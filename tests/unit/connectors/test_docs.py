"""docs/channels.md: a section for every channel, with all of its keys."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from bridge.connectors.registry import CONNECTORS

TEXT = (Path(__file__).parents[3] / "docs/channels.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
PARTS = ("**At ", "**Checked**", "**Messages**", "**Replies**")


def keys_of(channel: str) -> list[str]:
    module, _, name = CONNECTORS[channel].rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    # Rasa's name of that key has hyphens.
    return [
        key.replace("page_access_token", "page-access-token")
        for key in inspect.signature(cls).parameters
    ]


@pytest.mark.parametrize("channel", CONNECTORS)
def test_a_channel_has_a_section_that_names_every_key(channel: str) -> None:
    section = SECTIONS.get(channel, "")
    assert f"\n{channel}:" in section, "no example"
    assert [part for part in PARTS if part not in section] == []
    missing = [
        key for key in keys_of(channel) if not re.search(rf"^  {key}:|`{key}`", section, re.M)
    ]
    assert missing == []


def test_the_sections_are_in_alphabetical_order() -> None:
    assert [name for name in SECTIONS if name in CONNECTORS] == sorted(CONNECTORS)
