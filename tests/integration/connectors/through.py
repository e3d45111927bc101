"""All roles in this process, on a real broker, unlike `a_webhook` and `a_dispatcher`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
from prometheus_client import REGISTRY
from sanic import Sanic

from bridge.connectors.registry import Channel
from bridge.delivery.role import deliver
from bridge.messages import Handler
from bridge.settings.files import BrokerSettings
from bridge.webhook.node import WebhookNode
from bridge.webhook.server import create_app
from tests.integration.connectors.runner import serving
from tests.integration.connectors.tables import Post
from tests.support.waiting import eventually
from worker.role import work


class Bridge:
    """The running roles, and an HTTP client."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http = http
        self._base = base
        self._before = samples()

    async def post(self, channel: str, request: Post) -> tuple[int, str]:
        """Send a request to a channel; return status and body of the response."""
        async with self._http.request(
            request.method,
            f"{self._base}/webhooks/{channel}/{request.path}",
            data=request.body or None,
            headers=dict(request.headers),
            skip_auto_headers=["Content-Type", "User-Agent"],
        ) as response:
            return response.status, await response.text()

    def counted(self, name: str, **labels: str) -> int:
        """Return the increase of a sample of the metrics since the roles started."""
        key = (f"rasa_bridge_{name}", frozenset(labels.items()))
        return int(samples().get(key, 0) - self._before.get(key, 0))

    async def settled(self, flow: str, channel: str, outcome: str, count: int) -> None:
        """Wait until `count` messages of a channel are settled with this outcome."""
        labels = {"flow": flow, "channel": channel, "outcome": outcome}
        await eventually(
            lambda: self.counted("messages_total", **labels) >= count,
            f"{count} {flow} of {channel} {outcome}",
        )


def samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return all metric samples of this process, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
    }


@asynccontextmanager
async def a_bridge(
    broker: BrokerSettings,
    receiving: Mapping[str, Channel],
    delivering: Mapping[str, Channel],
    handler: Handler,
) -> AsyncIterator[Bridge]:
    """Run webhook, worker and deliver; webhook and deliver each load their own channels."""
    roles = [
        work(broker, handler, concurrency=16, prefetch=16, grace=5),
        deliver(broker, delivering, concurrency=16, prefetch=16, grace=5),
    ]
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for role in roles:
            stack.push_async_callback(_end, asyncio.create_task(role))
        node = WebhookNode(broker, receiving)
        node.start(_failed)
        stack.push_async_callback(node.stop)
        Sanic.test_mode = True
        base = await stack.enter_async_context(serving(create_app(node, receiving)))
        for link in node.links:
            await asyncio.wait_for(link.ready.wait(), 60)
        yield Bridge(http, base)


async def _end(role: asyncio.Task[None]) -> None:
    role.cancel()
    with suppress(asyncio.CancelledError):
        await role


def _failed(error: BaseException) -> None:
    raise error
