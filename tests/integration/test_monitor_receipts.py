"""The monitor's page shows what services report of replies, in a real browser; no broker."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from aiohttp import web

from bridge.monitor.feed import Feed
from bridge.monitor.server import PAGE_FILES
from bridge.monitor.snapshot import Snapshot
from bridge.telemetry.reports import Sample, Sketch
from bridge.telemetry.sketches import bucket_of
from tests.integration.test_monitor_page import TOO_WIDE
from tests.support.broker import free_port
from tests.support.browser import Page, browsing, chromium
from tests.unit.monitor.test_compose import a_worker, see

pytestmark = [
    pytest.mark.skipif(not chromium(), reason="no Chromium: deploy/local/setup browser"),
    pytest.mark.skipif(
        find_spec("rasa") is not None, reason="the page does not depend on the Python: tested once"
    ),
]


def reporting(**counts: float) -> Snapshot:
    """Return a snapshot with these outcomes of 10 seconds, and codes such as `e131047`."""
    samples = [
        Sample("receipt_failures_total", {"channel": "slack", "code": name[1:]}, number)
        if name.startswith("e")
        else Sample("reply_outcomes_total", {"channel": "slack", "outcome": name}, number)
        for name, number in counts.items()
    ]
    took = Sketch("time_to_delivery", {"channel": "slack"}, {bucket_of(2.5): 90})
    return see(a_worker("a", samples=samples, sketches=[took]))


@asynccontextmanager
async def serving(feed: Feed) -> AsyncIterator[str]:
    """Serve the page with a feed, as the monitor does."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with feed.opened() as events:
            while (event := await events.get()) is not None:
                await response.write(event)
        return response

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE_FILES[request.match_info.get("name", "index.html")])

    app = web.Application()
    app.add_routes([web.get("/", file), web.get("/page/{name}", file)])
    app.add_routes([web.get("/api/stream", stream)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        feed.close()
        await runner.cleanup()


async def test_the_page_shows_receipts_of_channels_that_report_them() -> None:
    feed = Feed()
    feed.snapshot(see(a_worker("a")))
    async with serving(feed) as url, browsing() as page:
        await page.size(1440, 900)
        await page.open(url)
        await page.sees("document.querySelectorAll('#queues tbody tr').length === 2")
        assert await page.run("document.getElementById('outcomes-part').hidden")

        feed.snapshot(reporting(delivered=949.6, dead_letter=40, template=10, e131047=10, e470=40))
        await page.sees("document.querySelectorAll('#outcomes tbody tr').length === 1")
        cells = "[...document.querySelector('#outcomes tbody tr').cells].map(c => c.innerText)"
        *shown, took = await page.run(cells)
        assert shown == ["slack", "94.9 %", "95", "5.0", "470: 4.0/s, 131047: 1.0/s"]
        assert took == "2.5 s" * 3
        await check_windows(page)

        feed.snapshot(reporting(delivered=100))
        await page.sees(f"{cells}[1] === '100 %' && {cells}[4] === '–'")
        feed.snapshot(see(a_worker("a")))
        await page.sees("document.getElementById('outcomes-part').hidden")
        assert page.errors == []


async def check_windows(page: Page) -> None:
    """No window is too narrow. `PICTURES=folder` keeps pictures of them."""
    for width, scheme in ((1440, "light"), (1440, "dark"), (390, "dark"), (390, "light")):
        await page.size(width, 844)
        await page.scheme(scheme)
        await page.sees(f"innerWidth === {width}")
        assert await page.run(TOO_WIDE) == []
        if "PICTURES" in os.environ:
            name = f"{width}-{scheme}.png"
            (Path(os.environ["PICTURES"]) / name).write_bytes(await page.picture())
