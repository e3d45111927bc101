"""The example's page in a real browser: nothing is lost while it is away, nothing comes twice."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.browser import chromium, tabs
from tests.support.examples import Example

pytestmark = [
    pytest.mark.skipif(not chromium(), reason="no Chromium: deploy/local/setup browser"),
    pytest.mark.skipif(
        find_spec("rasa") is not None, reason="the page does not depend on the Python"
    ),
]
BOT = "[...document.querySelectorAll('#messages .bot')].map(e => e.firstChild.textContent)"
ONLINE = "document.querySelector('#state')?.textContent === 'online'"


async def test_the_page_hears_what_it_missed(broker: Broker, tmp_path: Path) -> None:
    example = Example("webchat", tmp_path, broker.url)
    try:
        up = example.start("rasa-bridge up")
        server = example.start("python -m http.server")
        await up.prints("ready after")
        await server.prints("Serving HTTP")
        url = (
            f"http://localhost:{example.ports['8080']}/?server=ws://localhost:"
            f"{example.ports['5005']}"
        )
        async with tabs(1) as (page,):
            await page.open(url)
            await page.sees(ONLINE)
            await page.run("document.querySelector('#text').focus()")
            await page.call("Input.insertText", text="slow")
            await page.click("#form button")
            await page.sees(f"{BOT}.includes('One moment …')")
            await page.call("Page.navigate", url="about:blank")
            # The answer is there before the page is.
            await up.prints("turn took")
            await page.open(url)
            await page.sees(f"{BOT}.join() === 'You said: slow'")
            await page.click("#messages .bot button")
            await page.sees(f"{BOT}.join() === 'You said: slow,One moment …,You said: slow'")
            assert not page.errors
        assert not example.untried
    finally:
        example.close()
