"""docs/how-to/channels: a page for every channel, with the same parts and all of its keys."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from bridge.connectors.base import Connector
from bridge.connectors.registry import CONNECTORS

PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "channels"
PARTS = ["Credentials", "Setup at", "Authentication", "Messages", "Replies"]
NOT_IN_RASA = {"whatsapp"}
"""Channels whose page has no table of differences."""


def text_of(channel: str) -> str:
    return (PAGES / f"{channel}.md").read_text(encoding="utf-8")


def class_of(channel: str) -> type[Connector]:
    module, _, name = CONNECTORS[channel].rpartition(".")
    cls: type[Connector] = getattr(importlib.import_module(module), name)
    return cls


def keys_of(channel: str) -> list[str]:
    cls = class_of(channel)
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


def events_of(channel: str) -> dict[str, list[str]]:
    """Return the kinds of events in a page's table, by the first word of what becomes of them."""
    messages = text_of(channel).partition("## Messages")[2].partition("\n## ")[0]
    _, _, table = messages.partition("| event | what becomes of it |\n| --- | --- |\n")
    found: dict[str, list[str]] = {"Turn": [], "Ignored": [], "Answered": [], "Receipt": []}
    for kinds, outcome in re.findall(r"^\| (`.*?`) \| (\w+).* \|$", table, re.MULTILINE):
        found[outcome] += re.findall(r"`([^`]+)`", kinds)
    return found


@pytest.mark.parametrize("channel", CONNECTORS)
def test_a_page_lists_every_kind_of_event_and_what_becomes_of_it(channel: str) -> None:
    kinds = class_of(channel).kinds
    declared = {
        "Turn": kinds.turn,
        "Ignored": kinds.ignored,
        "Answered": kinds.answered,
        "Receipt": kinds.receipts,
    }
    listed = events_of(channel)
    assert {name: sorted(found) for name, found in listed.items()} == {
        name: sorted(found) for name, found in declared.items()
    }


@pytest.mark.parametrize("channel", CONNECTORS)
def test_a_kind_of_event_has_one_outcome(channel: str) -> None:
    kinds = class_of(channel).kinds
    names = [*kinds.turn, *kinds.ignored, *kinds.answered, *kinds.receipts]
    assert len(names) == len(set(names))


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
