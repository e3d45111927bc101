"""Takes the picture of the monitor's page that the README shows, from a real system under load.

    python -m tests.bench.picture [--minutes 5.2] [--into docs/images]

Starts a private broker, a webhook, three workers, two deliver processes and the monitor, sends
messages to four channels, some of which fail, and searches the dead letters and one message. Writes
`monitor.png`; with `--all` also the page in a dark and in a narrow window.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.support.broker import free_port, make_broker
from tests.support.browser import Page, browsing
from tests.support.png import with_palette
from tests.support.processes import Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

CHANNELS = {"callback": 4, "orders": 3, "support": 2, "billing": 1}
"""Channel → its share of the messages."""
HANDLER = """
import asyncio, random


async def handle(message, output):
    await asyncio.sleep(random.lognormvariate(-2.6, 0.6))
    if message.text == "fail":
        raise ValueError("no such order")
    await output.send_text_message(message.sender_id, message.text)
    if random.random() < 0.2:
        await output.send_text_message(message.sender_id, "Anything else?")
"""


async def answer(call: Call) -> web.Response:
    await asyncio.sleep(random.lognormvariate(-4.2, 0.7))
    refused = call.body["text"] == "refuse"
    status = 400 if refused else 503 if random.random() < 0.004 else 200
    return web.json_response({}, status=status)


async def send(port: int, seconds: float) -> str:
    """Send messages in waves; return the id of the last one."""
    began, number = time.monotonic(), 0
    url = f"http://127.0.0.1:{port}/webhooks/{{}}/webhook"
    async with aiohttp.ClientSession() as http:
        while (now := time.monotonic() - began) < seconds:
            (channel,) = random.choices([*CHANNELS], [*CHANNELS.values()])
            number += 1
            text = "fail" if number % 907 == 300 else "refuse" if number % 811 == 200 else "hello"
            sender = f"user{random.randrange(400)}"
            body = {"sender": sender, "message": text, "message_id": f"msg-{number:05}"}
            async with http.post(url.format(channel), json=body):
                pass
            rate = 14 + 9 * math.sin(now / 30) + 3 * math.sin(now / 7)
            await asyncio.sleep(random.expovariate(rate))
    return f"msg-{number:05}"


async def lists_dead_letters(page: Page) -> bool:
    await page.click("#filter .primary")
    await page.sees("!document.body.classList.contains('busy')")
    return bool(await page.run("!!document.querySelector('#letters tbody tr')"))


async def traces(page: Page) -> bool:
    await page.click("#trace-form .primary")
    await page.sees("!document.getElementById('trace-result').innerText.startsWith('Searching')")
    return bool(await page.run("!!document.querySelector('#trace-found tbody tr')"))


async def take(page: Page, url: str, message: str, into: Path, everything: bool) -> None:
    await page.size(1280, 900)
    await page.scheme("light")
    await page.open(url)
    await page.sees("document.querySelector('#news')?.innerText.startsWith('live')")
    await eventually(lambda: lists_dead_letters(page))
    await page.run(f"document.querySelector('#trace-form input').value = '{message}'")
    await eventually(lambda: traces(page))
    await page.run("scrollTo(0, 0)")
    await asyncio.sleep(3)  # all rates are there
    into.joinpath("monitor.png").write_bytes(with_palette(await page.picture()))
    if everything:
        for name, width, scheme in (
            ("dark", 1280, "dark"),
            ("phone", 390, "light"),
            ("phone-dark", 390, "dark"),
        ):
            await page.size(width, 900)
            await page.scheme(scheme)
            await asyncio.sleep(1)
            into.joinpath(f"monitor-{name}.png").write_bytes(await page.picture())


async def main(minutes: float, into: Path, everything: bool) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    service.answer = answer
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bridge")
    sections = [f"{name}:\n  channel: callback\n  url: {service.url}\n" for name in CHANNELS]
    project.write("credentials.yml", "".join(sections))
    project.write("handler.py", HANDLER)
    project.write("endpoints.yml", f"bridge:\n  url: {broker.url}\n")
    port, monitor_port = free_port(), free_port()
    worker = ("--handler", "handler:handle", "--retry-for", "5")
    try:
        monitor = project.bridge("monitor", "-p", str(monitor_port))
        await monitor.prints(f"on http://127.0.0.1:{monitor_port}/")
        await asyncio.gather(
            project.webhook(port),
            *(project.worker(*worker) for _ in range(3)),
            *(project.deliver() for _ in range(2)),
        )
        message = await send(port, 60 * minutes)
        sending = asyncio.ensure_future(send(port, 60))
        async with browsing() as page:
            await take(page, f"http://127.0.0.1:{monitor_port}/", message, into, everything)
        sending.cancel()
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    # The charts show 3, 6 or 15 minutes: with these, and the start, the axis of 6 is full.
    parser.add_argument("--minutes", type=float, default=5.2)
    parser.add_argument("--into", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    asyncio.run(main(options.minutes, options.into, options.all))
