"""The demo's external service, in place of Slack and the like. It prints each reply it receives.

python deploy/demo/service.py       # listens on port 8080, for docker-compose.yml
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from rich.console import Console
from rich.markup import escape

console = Console(highlight=False, soft_wrap=True)


class Service:
    """Accepts replies on any path, prints them and passes them to `on_reply`."""

    def __init__(self, on_reply: Callable[[dict[str, Any]], None] = lambda reply: None) -> None:
        self._on_reply = on_reply
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{channel}", self._receive)
        return app

    async def start(self) -> web.AppRunner:
        runner = web.AppRunner(self.app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _receive(self, request: web.Request) -> web.Response:
        reply = await request.json()
        print_reply(reply)
        self._on_reply(reply)
        return web.json_response({})


def print_reply(reply: dict[str, Any]) -> None:
    text = reply.get("text")
    if text:
        console.print(f"  [green]bot[/]  {escape(str(text))}")
    for kind in ("buttons", "quick_replies"):
        titles = " ".join(f"[{button['title']}]" for button in reply.get(kind) or [])
        if titles:
            console.print(f"       [dim]{kind}:[/] {escape(titles)}")
    for kind in ("image", "attachment", "elements", "custom"):
        if reply.get(kind):
            console.print(f"  [green]bot[/]  [dim]{kind}:[/] {escape(json.dumps(reply[kind]))}")


if __name__ == "__main__":
    web.run_app(Service().app(), port=8080, access_log=None)
