"""Calls that a stranger can cause: once at a time, and a failure is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from bridge.connectors.toolkit import refreshed
from bridge.connectors.toolkit.refreshed import FAILURE_LASTS, Refreshed
from bridge.errors import RequestRejected
from tests.integration.connectors import (
    botframework_table,
    hangouts_table,
    mattermost_table,
    rasa_table,
    webexteams_table,
)
from tests.integration.connectors.runner import Webhook, a_webhook
from tests.integration.connectors.tables import Post, Table
from tests.support.fakes import quiet
from tests.support.service import FakeService


@dataclass(frozen=True)
class Fetching:
    """A channel that asks its service before it accepts a request."""

    table: Table
    settings: Callable[[str], dict[str, Any]]
    post: Post
    fetches: int = 1
    """Calls of one complete fetch."""


def genuine(table: Table) -> Post:
    first = table.genuine[0]
    return first.post(first.value)


CHANNELS = {
    "botframework": Fetching(
        botframework_table.TABLE,
        lambda url: {"openid_url": f"{url}openid"},
        genuine(botframework_table.TABLE),
        2,
    ),
    "hangouts": Fetching(
        hangouts_table.TABLE,
        lambda url: {"certs_url": f"{url}certs"},
        genuine(hangouts_table.TABLE),
    ),
    "rasa": Fetching(rasa_table.TABLE, lambda url: {"url": f"{url}api"}, genuine(rasa_table.TABLE)),
    "mattermost": Fetching(
        mattermost_table.TABLE,
        lambda url: {"url": f"{url}api/v4"},
        mattermost_table.post(mattermost_table.hook(trigger_word="")),
    ),
    "webexteams": Fetching(
        webexteams_table.TABLE,
        lambda url: {"api_url": f"{url}v1"},
        genuine(webexteams_table.TABLE),
    ),
}
each_channel = pytest.mark.parametrize("channel", CHANNELS)
MANY = 50


async def many(webhook: Webhook, post: Post, number: int = MANY) -> list[int]:
    return [
        status for status, *_ in await asyncio.gather(*(webhook.post(post) for _ in range(number)))
    ]


@each_channel
async def test_many_requests_at_once_cause_one_failed_fetch(
    channel: str, service: FakeService
) -> None:
    it = CHANNELS[channel]
    service.answer = lambda call: web.json_response({}, status=500)
    async with a_webhook(it.table, it.settings(service.url)) as webhook:
        assert await many(webhook, it.post) == [503] * MANY
        assert await many(webhook, it.post) == [503] * MANY
        assert len(service.calls) == 1
        webhook.later()
        status, _, headers = await webhook.post(it.post)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert len(service.calls) == 2
        assert not webhook.messages


@pytest.mark.parametrize("channel", ["botframework", "hangouts", "rasa"])
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer a.b"])
async def test_a_request_without_a_token_causes_no_fetch(
    channel: str, authorization: str, service: FakeService
) -> None:
    it = CHANNELS[channel]
    request = Post(it.post.body, {**it.post.headers, "Authorization": authorization})
    async with a_webhook(it.table, it.settings(service.url)) as webhook:
        assert await many(webhook, request, 5) == [403] * 5
    assert not service.calls


class Source:
    """Counts fetches; each waits until the test lets it end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fetches = 0
        self.value = ""
        self.fails = False
        self.go = asyncio.Event()
        self.refreshed = Refreshed(self.fetch, lambda: self.now)

    async def fetch(self) -> None:
        self.fetches += 1
        await self.go.wait()
        if self.fails:
            raise RequestRejected(503, "no")
        self.value = "new"

    def ask(self, *, usable: bool = False) -> asyncio.Task[None]:
        asking = self.refreshed.refresh(lambda: self.value != "new", lambda: usable)
        return asyncio.get_running_loop().create_task(asking)


async def test_requests_wait_for_the_fetch_that_runs() -> None:
    source = Source()
    asking = [source.ask() for _ in range(10)]
    await quiet()
    assert source.fetches == 1
    usable = source.ask(usable=True)
    await asyncio.wait([usable], timeout=5)
    assert usable.done()
    source.go.set()
    await asyncio.gather(*asking)
    assert source.fetches == 1


async def test_a_failure_is_remembered_and_then_forgotten() -> None:
    source = Source()
    source.fails = True
    source.go.set()
    for source.now in (0.0, 0.0, FAILURE_LASTS - 0.1):
        with pytest.raises(RequestRejected):
            await source.ask()
        await source.ask(usable=True)
    assert source.fetches == 1
    source.now, source.fails = FAILURE_LASTS, False
    await source.ask()
    assert (source.fetches, source.value) == (2, "new")


async def test_few_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshed, "MOST_WAITING", 3)
    source = Source()
    asking = [source.ask() for _ in range(3)]
    await quiet()
    with pytest.raises(RequestRejected, match="too many requests at once"):
        await source.ask()
    asking[0].cancel()
    await asyncio.wait([asking[0]])
    more = source.ask()
    await quiet()
    assert source.fetches == 1, "the fetch outlives the request that caused it"
    source.go.set()
    await asyncio.gather(*asking[1:], more)
    assert source.fetches == 1
