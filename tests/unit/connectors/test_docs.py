"""docs/how-to/channels: a page for every channel, with the same parts and all of its keys."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from bridge.connectors.registry import CONNECTORS

PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "channels"
PARTS = ["Credentials", "Setup at", "Authentication", "Messages", "Replies"]
NOT_IN_RASA = {"whatsapp"}
"""Channels whose page has no table of differences."""


def text_of(channel: str) -> str:
    return (PAGES / f"{channel}.md").read_text(encoding="utf-8")


def keys_of(channel: str) -> list[str]:
    module, _, name = CONNECTORS[channel].rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    # Rasa's name of that key has hyphens.
    return [
        key.replace("page_access_token", "page-access-token")
        for key in inspect.signature(cls).parameters
    ]


@pytest.mark.parametrize("channel", CONNECTORS)
def test_a_channel_has_a_page_whose_table_lists_exactly_its_keys(channel: str) -> None:
    credentials = text_of(channel).partition("## Credentials")[2].partition("\n## ")[0]
    assert f"\n{channel}:" in credentials, "no example"
    rows = re.findall(r"^\| (`.*?) \|", credentials, re.MULTILINE)
    listed = [key for row in rows for key in re.findall(r"`([\w-]+)`", row)]
    assert sorted(listed) == sorted(keys_of(channel))


@pytest.mark.parametrize("channel", CONNECTORS)
def test_the_pages_have_the_same_parts_in_the_same_order(channel: str) -> None:
    headings = re.findall(r"^## (.*)$", text_of(channel), re.MULTILINE)
    parts = [*PARTS, *([] if channel in NOT_IN_RASA else ["Differences from Rasa"])]
    assert len(headings) == len(parts)
    assert all(heading.startswith(part) for heading, part in zip(headings, parts, strict=True))


def test_there_is_a_page_for_every_channel_and_the_index_lists_them_in_order() -> None:
    names = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "index")
    listed = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\)", text_of("index"), re.MULTILINE)
    assert names == sorted(CONNECTORS)
    assert listed == [(name, name) for name in names]
