"""How `rasa-bridge channels` reads and prints a credentials file."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bridge import Connector, Request
from bridge.broker.topology import Topology
from bridge.commands.channels_view import Row, as_notes, as_table, row_of
from bridge.connectors.registry import CONNECTORS, Channel, load_channel
from bridge.connectors.wrapped.connector import WrappedConnector

TOPOLOGY = Topology(reply_partitions=3)
TELEGRAM = {"access_token": "1:hush", "webhook_url": "https://bot/"}


class OfAnotherLibrary:
    def name(self) -> str:
        return "myio"

    def get_output_channel(self) -> None:
        return None


class Unchecked(Connector):
    name = "myio"

    def parse(self, request: Request) -> Any: ...
    async def deliver(self, reply: Any, http: Any) -> None: ...


class Checked(Unchecked):
    def verify(self, request: Request) -> None: ...


def row(key: str, section: dict[str, Any] | None = None) -> Row:
    return row_of(load_channel(key, section or {}), TOPOLOGY)


def printed(*rows: Row, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    for part in (as_table(rows), *as_notes(rows, TOPOLOGY)):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_authentication_is_off_until_its_key_is_set() -> None:
    off = row("telegram", TELEGRAM)
    on = row("telegram", {**TELEGRAM, "secret_token": "hush"})
    assert (off.verification, off.key, len(off.warnings)) == ("off", "secret_token", 1)
    assert (on.verification, on.by, on.warnings) == ("on", "secret token", [])
    assert "! telegram: key 'secret_token' is missing: " in printed(off)
    assert "✓ secret token" in printed(on)


def test_a_channel_without_authentication_differs_from_one_with_authentication_off() -> None:
    rest = row("rest")
    assert (rest.verification, rest.key) == ("off", "token")
    assert "! rest: key 'token' is missing: anyone who knows the URL can write as" in printed(rest)
    assert row("rest", {"token": "t"}).verification == "on"
    unchecked = Unchecked()
    unchecked.channel = "myio"
    found = row_of(Channel("myio", unchecked), TOPOLOGY)
    assert found.verification == "none"
    assert "! myio: no authentication: anyone who knows the URL can write as" in printed(found)


@pytest.mark.parametrize(
    ("connector", "url", "state"),
    [
        (WrappedConnector(OfAnotherLibrary()), "/webhooks/myio/", "own"),
        (Checked(), "/webhooks/myio/webhook", "own"),
        (Unchecked(), "/webhooks/myio/webhook", "none"),
    ],
)
def test_a_custom_channel_is_reported_as_custom_code(
    connector: Connector, url: str, state: str
) -> None:
    connector.channel = "myio"
    found = row_of(Channel("myio", connector), TOPOLOGY)
    assert (found.url, found.verification) == (url, state)


def test_replies_have_queues_or_go_into_the_response() -> None:
    names = [f"bridge.replies.support.{n:02}" for n in range(3)]
    support = row("support", {"channel": "telegram", **TELEGRAM})
    assert support.reply_queues == names
    assert row("rest").reply_queues == []
    assert "reply queues: bridge.replies.<channel>.00 to .02" in printed(support)
    assert "reply queues" not in printed(row("rest"))


def test_the_table_fits_80_columns_with_one_line_per_channel() -> None:
    rows = [
        Row(name, name, f"/webhooks/{name}/webhook", "own", "", "", [], []) for name in CONNECTORS
    ]
    lines = printed(*rows).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 1 + len(CONNECTORS)
