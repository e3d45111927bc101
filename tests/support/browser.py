"""A real headless Chromium, controlled through the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.waiting import eventually

if TYPE_CHECKING:
    # Generic since aiohttp 3.14.
    Socket = aiohttp.ClientWebSocketResponse[Any]

FLAGS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
FLAGS += ["--remote-debugging-port=0", "--disable-background-networking", "--disable-sync"]
FLAGS += ["--disable-component-update", "--hide-scrollbars"]


def chromium() -> str | None:
    """Return the path of Chromium, or None; `deploy/local/setup browser` installs it."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


class Page:
    """One tab. `errors`: its console's errors and warnings; `requests`: all URLs it fetched."""

    def __init__(self, socket: Socket) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Receive the browser's messages until it closes the connection."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(json.dumps(params["entry"]))

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        answered = asyncio.get_running_loop().create_future()
        self._answers[number] = answered
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(answered, 60)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.sees("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """Return the value of an expression. Promises are awaited."""
        result = await self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in result, (script, result)
        return result["result"].get("value")

    async def sees(self, script: str) -> Any:
        """Wait until an expression is true; return its value."""
        return await eventually(lambda: self.run(script), f"in the page: {script}")

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def click(self, selector: str) -> None:
        """Click at an element's position, as a mouse does: an element above it gets the click."""
        enabled = f"[document.querySelector({json.dumps(selector)})].some(e => e && !e.disabled)"
        await self.sees(enabled)
        x, y = await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def roles(self) -> set[str]:
        """Return the accessibility roles that a screen reader sees."""
        tree = await self.call("Accessibility.getFullAXTree")
        return {node["role"]["value"] for node in tree["nodes"] if not node["ignored"]}

    async def size(self, width: int, height: int, scale: float = 1) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    async def scheme(self, value: str) -> None:
        """Prefer the colour scheme `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": value}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """Return a PNG of the whole page."""
        taken = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """Start a separate browser with one empty tab; close it at the end."""
    async with tabs(1) as (page,):
        yield page


@contextlib.asynccontextmanager
async def tabs(count: int) -> AsyncIterator[list[Page]]:
    """Start a separate browser with empty tabs; close it at the end."""
    profile = tempfile.mkdtemp(prefix="rasa-bridge-test-browser-")
    browser = _start(profile)
    try:
        port = await eventually(lambda: _debugging_port(profile), "the browser is ready")
        async with aiohttp.ClientSession() as http:
            pages = [Page(await _tab(http, port, is_first=n == 0)) for n in range(count)]
            listening = [asyncio.ensure_future(page.listen()) for page in pages]
            for page in pages:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
            yield pages
            for task in listening:
                task.cancel()
    finally:
        browser.terminate()
        browser.wait()
        shutil.rmtree(profile, ignore_errors=True)


def _start(profile: str) -> subprocess.Popen[bytes]:
    binary = chromium()
    assert binary, "Chromium is missing; run: deploy/local/setup browser"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return subprocess.Popen(
        [binary, *FLAGS, *sandbox, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _debugging_port(profile: str) -> str | None:
    told = Path(profile) / "DevToolsActivePort"
    return told.read_text().partition("\n")[0] if told.exists() else None


async def _tab(http: aiohttp.ClientSession, port: str, is_first: bool) -> Socket:
    if is_first:
        async with http.get(f"http://127.0.0.1:{port}/json") as response:
            found = await response.json()
        tab = next(tab for tab in found if tab["type"] == "page")
    else:
        async with http.put(f"http://127.0.0.1:{port}/json/new?about:blank") as response:
            tab = await response.json()
    return await http.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
