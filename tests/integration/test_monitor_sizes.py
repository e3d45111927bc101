"""The monitor's page in a real browser: many channels, partitions and processes with long names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

import bridge.monitor
from bridge.monitor.feed import Feed
from bridge.monitor.snapshot import Partition, Process, Silent, Snapshot
from tests.integration.test_monitor_page import TOO_WIDE
from tests.support.browser import browsing, chromium
from tests.unit.monitor.test_compose import see
from tests.unit.monitor.test_problems import the_channels

pytestmark = [
    pytest.mark.skipif(not chromium(), reason="no Chromium: deploy/local/setup browser"),
    pytest.mark.skipif(
        find_spec("rasa") is not None, reason="the page does not depend on the Python: tested once"
    ),
]

PAGE = Path(bridge.monitor.__file__).parent / "page"
HOST = "production-cluster-node-{:02}.eu-central-1.compute.internal"
MODEL = "20261126-170000-assistant-of-the-customer-service-department.tar.gz"


def large() -> Snapshot:
    """Return 40 channels of 99 partitions and 30 processes, of which one hangs."""
    channels = [f"customer-service-channel-of-region-{n:02}" for n in range(40)]
    workers = [f"worker {HOST.format(n)}:{n}:ab{n:04}" for n in range(30)]
    queues = [Partition(n, f"q.{n:02}", n * 97, 3, 1, workers[n % 30], 2.0) for n in range(99)]
    flows = [
        msgspec.structs.replace(flow, partitions=queues, consumers=1)
        for flow in the_channels(*channels)
    ]
    return msgspec.structs.replace(
        see(),
        namespace="production-of-the-customer-service",
        flows=flows,
        processes=[
            Process(name, "worker", 9e5, [("inbound", "")], 99, 1000, 16, 16, MODEL)
            for name in workers
        ],
        silent=[Silent("replies", name, 1, 2, 60.0, workers[:1]) for name in channels],
        dead={"inbound": 5846, "replies": 100_000},
    )


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Serve the page with one large snapshot."""
    feed = Feed()
    feed.snapshot(large())

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with feed.opened() as events:
            while (event := await events.get()) is not None:
                await response.write(event)
        return response

    async def index(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html")

    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/api/stream", stream)
    app.router.add_static("/page", PAGE)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    feed.close()
    await runner.cleanup()


async def test_many_long_names_need_no_horizontal_scrolling(url: str) -> None:
    async with browsing() as page:
        for width in (1280, 820, 390):
            await page.size(width, 900)
            await page.open(url)
            await page.sees("document.querySelectorAll('#processes tbody tr').length === 30")
            assert await page.run(TOO_WIDE) == []
            assert await page.run("document.documentElement.scrollWidth") <= width
        lines = await page.run("[...document.querySelectorAll('#health li')].length")
        assert lines == 2  # a process that hangs, dead letters
        names = "[...document.querySelectorAll('#queues button')].map(b => b.ariaLabel)"
        assert len(set(await page.run(names))) == 40
        assert page.errors == []
