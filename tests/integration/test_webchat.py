"""A chat widget of npm (rasa-webchat) in a real browser, on a page of another origin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec

import pytest
from aiohttp import web

from tests.support.broker import TOP, free_port
from tests.support.browser import Page, chromium, tabs
from tests.support.processes import Project
from tests.support.waiting import eventually

WIDGET = TOP / ".cache" / "rasa-webchat@1.0.1" / "lib" / "index.js"
pytestmark = [
    pytest.mark.skipif(not chromium(), reason="no Chromium: deploy/local/setup browser"),
    pytest.mark.skipif(not WIDGET.exists(), reason="no widget: deploy/local/setup webchat"),
    pytest.mark.skipif(
        find_spec("rasa") is not None, reason="the widget does not depend on the Python"
    ),
]

BOT = """
async def handle(message, output):
    to, text = message.sender_id, message.text
    if text == "buttons":
        buttons = [{"title": "Yes", "payload": "/affirm"}]
        await output.send_response(to, {"text": "Sure?", "buttons": buttons})
    elif text == "image":
        await output.send_response(to, {"image": "PAGE/cat.png"})
    else:
        await output.send_response(to, {"text": f"you said {text} as {to[-4:]}"})
"""
HTML = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body>
<script src="/widget.js"></script><script>
window.WebChat.default({
  socketUrl: "SERVER", socketPath: "/socket.io/", embedded: true, initPayload: null,
  customMessageDelay: () => 0, params: {storage: "session"},
}, null);
</script>"""
SAID = "[...document.querySelectorAll('.rw-response .rw-message-text')].map(e => e.innerText)"
SESSION = "JSON.parse(sessionStorage.getItem('chat_session') || '{}').session_id"


@asynccontextmanager
async def a_page(server: str) -> AsyncIterator[str]:
    """Serve the page of the widget; yield its origin."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=HTML.replace("SERVER", server), content_type="text/html")

    async def widget(_: web.Request) -> web.FileResponse:
        return web.FileResponse(WIDGET)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/widget.js", widget)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port := free_port())
        await site.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def say(page: Page, text: str) -> None:
    await page.sees("document.querySelector('.rw-new-message')?.disabled === false")
    await page.run("document.querySelector('.rw-new-message').focus()")
    await page.call("Input.insertText", text=text)
    await page.click(".rw-send")


async def answers(page: Page, text: str) -> None:
    await page.sees(f"{SAID}.some(text => text.includes({json.dumps(text)}))")


async def test_the_widget_works_on_a_listed_origin_and_on_no_other(project: Project) -> None:
    project.write("credentials.yml", "socketio:\n  session_persistence: true\n")
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        listed, unlisted = [await stack.enter_async_context(a_page(server)) for _ in "ab"]
        project.write("bot.py", BOT.replace("PAGE", listed))
        await asyncio.gather(
            project.webhook(port, "--cors", listed),
            project.worker("--handler", "bot:handle"),
            project.deliver(),
        )
        one, two, stranger = await stack.enter_async_context(tabs(3))
        await one.open(listed)
        await check_kinds(one)
        await check_reload(one, listed)
        await check_second_tab(one, two, listed)
        await check_stranger(stranger, unlisted)


async def check_kinds(page: Page) -> None:
    await say(page, "hello")
    await answers(page, "you said hello")
    await say(page, "buttons")
    await answers(page, "Sure?")
    await page.click(".rw-reply")
    await answers(page, "you said /affirm")
    await say(page, "image")
    await page.sees("document.querySelector('img.rw-image-frame')?.src.endsWith('/cat.png')")


async def check_reload(page: Page, url: str) -> None:
    session = await page.run(SESSION)
    assert session
    await page.open(url)
    await answers(page, "you said hello")  # what the widget remembers of the session
    await say(page, "again")
    await answers(page, f"you said again as {session[-4:]}")
    assert await page.run(SESSION) == session


async def check_second_tab(one: Page, two: Page, url: str) -> None:
    await two.open(url)
    for n, page in enumerate((two, one)):
        await say(page, f"tab {n}")
        await answers(page, f"you said tab {n}")
    assert await one.run(SESSION) != await two.run(SESSION)
    assert not await two.run(f"{SAID}.some(text => text.includes('tab 1'))")


async def check_stranger(page: Page, url: str) -> None:
    await page.open(url)

    def is_refused() -> bool:
        return any("CORS policy" in error or "403" in error for error in page.errors)

    await eventually(is_refused, "the browser refuses the connection")
    assert not await page.run(SESSION)
