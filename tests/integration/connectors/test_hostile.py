"""Hostile and truncated bodies, for every connector."""

from __future__ import annotations

import logging

import pytest

from tests.integration.connectors import hostile
from tests.integration.connectors.runner import a_webhook
from tests.integration.connectors.tables import Table, as_bytes
from tests.integration.connectors.test_connectors import each_table


@each_table
async def test_a_hostile_body_is_refused_or_ignored_and_never_breaks_anything(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    statuses = set()
    async with a_webhook(table) as webhook:
        for genuine in table.genuine:
            values = [*hostile.mutations(genuine.value), *hostile.DEEP]
            for value in values:
                before = len(webhook.publisher.published)
                status, answer, _ = await webhook.post(genuine.post(value))
                statuses.add(status)
                enqueued = len(webhook.publisher.published) - before
                assert status in (200, 400, 403, 413, 415), (value, answer)
                assert not (status >= 400 and enqueued), value
    assert {200, 400} <= statuses
    assert not caplog.records


@each_table
async def test_a_truncated_body_is_refused(table: Table) -> None:
    async with a_webhook(table) as webhook:
        for genuine in table.genuine:
            for body in hostile.truncations(as_bytes(genuine.value)):
                status, answer, _ = await webhook.post(genuine.post(body))
                assert status == 400, (body, answer)
        assert not webhook.messages
