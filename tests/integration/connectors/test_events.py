"""Every kind of event that a service has becomes what its connector declares: a turn or a count."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from bridge.connectors.toolkit.events import UNKNOWN, Kinds
from tests.integration.connectors import (
    facebook_table as facebook,
    rocketchat_table as rocketchat,
    whatsapp_table as whatsapp,
)
from tests.integration.connectors.event_cases import EVENTS
from tests.integration.connectors.runner import a_webhook
from tests.integration.connectors.tables import Post, Table
from tests.integration.connectors.test_connectors import TABLES

BY_CHANNEL = {table.channel: table for table in TABLES}
OWN = ("callback", "rasa", "rest", "webhook")
"""Channels without a provider: every accepted request is a message."""

each_channel = pytest.mark.parametrize("channel", EVENTS)


def ignored(channel: str) -> dict[str, float]:
    """Return how many events of each kind were ignored so far."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {
        sample.labels["kind"]: sample.value
        for sample in samples
        if sample.name == "rasa_bridge_events_ignored_total" and sample.labels["channel"] == channel
    }


def reported(channel: str) -> float:
    """Return how many receipts were counted so far."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return sum(
        sample.value
        for sample in samples
        if sample.name == "rasa_bridge_receipts_total" and sample.labels["channel"] == channel
    )


def increase(channel: str, before: dict[str, float]) -> dict[str, float]:
    now = ignored(channel)
    changed = {kind: now[kind] - before.get(kind, 0) for kind in now}
    return {kind: value for kind, value in changed.items() if value}


def test_every_channel_with_a_provider_has_examples() -> None:
    assert {*EVENTS, *OWN} == set(BY_CHANNEL)


@each_channel
async def test_a_kind_of_event_becomes_what_is_declared(channel: str) -> None:
    async with a_webhook(BY_CHANNEL[channel]) as webhook:
        kinds: Kinds = webhook.connector.kinds
        declared = [*kinds.turn, *kinds.answered, *kinds.ignored, *kinds.receipts]
        assert sorted(EVENTS[channel]) == sorted(declared)
        for kind, request in EVENTS[channel].items():
            before, messages = ignored(channel), len(webhook.messages)
            receipts = reported(channel)
            status, answer, _ = await webhook.post(request)
            assert status in ((200, 501) if kind in kinds.answered else (200,)), (kind, answer)
            said = webhook.messages[messages:]
            assert bool(said) == (kind in kinds.turn), kind
            assert all(message.text.strip() for message in said), kind
            counted = {kind: 1.0} if kind in kinds.ignored else {}
            assert increase(channel, before) == counted, kind
            assert reported(channel) - receipts == (kind in kinds.receipts), kind


ODD: list[Any] = [None, 1, "x", [], {}, {"id": 5}, {"id": "x", "text": 5}, {"message": {"text": 5}}]
"""Items of a batch that no service has documented."""


def whatsapp_batch(odd: Any) -> Post:
    good = whatsapp.message(**whatsapp.HELLO)
    change = whatsapp.of(odd, good, odd)
    change["value"] |= {"contacts": [odd], "statuses": [odd]}
    return whatsapp.post({"field": "messages", "value": odd}, change)


def facebook_batch(odd: Any) -> Post:
    value = facebook.batch(facebook.HELLO)
    value["entry"][0]["messaging"] = [odd, facebook.HELLO, odd]
    return facebook.post(value)


def rocketchat_batch(odd: Any) -> Post:
    return rocketchat.with_header(rocketchat.livechat(odd, rocketchat.said(), odd))


@pytest.mark.parametrize(
    ("table", "batch"),
    [
        (whatsapp.TABLE, whatsapp_batch),
        (facebook.TABLE, facebook_batch),
        (rocketchat.TABLE, rocketchat_batch),
    ],
    ids=["whatsapp", "facebook", "rocketchat"],
)
async def test_an_event_of_unknown_shape_does_not_refuse_its_batch(
    table: Table, batch: Any
) -> None:
    async with a_webhook(table) as webhook:
        for n, odd in enumerate(ODD, 1):
            before = ignored(table.channel)
            status, answer, _ = await webhook.post(batch(odd))
            assert status == 200, (odd, answer)
            assert len(webhook.messages) == n, odd
            assert sum(increase(table.channel, before).values()) >= 2, odd


async def test_an_undeclared_kind_counts_as_unknown() -> None:
    async with a_webhook(whatsapp.TABLE) as webhook:
        before = ignored("whatsapp")
        await webhook.post(whatsapp.post({"field": "a_new_field", "value": {}}))
        await webhook.post(whatsapp.post(whatsapp.of(whatsapp.message(type="a_new_type"))))
        assert increase("whatsapp", before) == {UNKNOWN: 2.0}
