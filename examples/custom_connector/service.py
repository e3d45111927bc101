"""Plays the helpdesk: sends signed events to the bridge, and prints the replies.

python service.py TEXT...
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
import uuid
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

WEBHOOK = "http://127.0.0.1:5005/webhooks/helpdesk/webhook"
PORT = 8090
QUIET = 3.0
"""Seconds without a reply after which the program ends."""

settings = yaml.safe_load(Path("credentials.yml").read_text())["connector.Helpdesk"]


class Helpdesk:
    """The API that the connector calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen: set[str] = set()
        self.replied = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {settings['token']}":
            return web.Response(status=401)
        reply = await request.json()
        self.calls += 1
        if self.calls == 1:
            print(f"desk {reply['desk']} is busy: 429, retry after 1 s")
            return web.Response(status=429, headers={"Retry-After": "1"})
        key = request.headers["Idempotency-Key"]
        if key not in self.seen:
            self.seen.add(key)
            shown = reply.get("text") or f"picture {reply['image']}"
            print(f"desk {reply['desk']}: {shown}")
        self.replied.set()
        return web.Response(status=202)


async def send(http: aiohttp.ClientSession, conversation: str, text: str, secret: str) -> None:
    """Send one signed event to the bridge."""
    event = {"type": "message", "id": uuid.uuid4().hex, "desk": "north", "text": text}
    body = json.dumps({**event, "conversation": conversation}).encode()
    now = str(int(time.time()))
    signature = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Helpdesk-Time": now, "X-Helpdesk-Signature": signature}
    async with http.post(WEBHOOK, data=body, headers=headers) as answer:
        note = "" if secret == settings["secret"] else " (wrong signature)"
        result = f"200, {await answer.text()}" if answer.status == 200 else answer.status
        print(f"customer: {text + note:<26}→ {result}")


async def main(texts: list[str]) -> None:
    helpdesk = Helpdesk()
    app = web.Application()
    app.router.add_post("/messages", helpdesk.receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    async with aiohttp.ClientSession() as http:
        conversation = f"customer-{uuid.uuid4().hex[:6]}"
        for text in texts:
            await send(http, conversation, text, settings["secret"])
        await send(http, conversation, texts[0], "another-secret")
        await asyncio.wait_for(helpdesk.replied.wait(), 60)
        while helpdesk.replied.is_set():
            helpdesk.replied.clear()
            await asyncio.sleep(QUIET)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["hello"]))
