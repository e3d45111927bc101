"""What receipts cost: CPU time per receipt of each process, and the delay of messages meanwhile.

python -m tests.bench.receipts [--receipts 9000] [--rate 3000] [--per-request 5] [--url amqp://…]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
from aiohttp import web

from bridge.broker.connection import connect
from bridge.messages import Delivery, Reply
from tests.support.broker import free_port, make_broker
from tests.support.pacing import put, replies
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

NUMBER = "106540352242922"
CREDENTIALS = """
whatsapp:
  access_token: EAAW
  phone_number_id: "{number}"
  verify: me
  api_url: {url}
  rate_limit_per_recipient: none
  receipts: {on}
"""


def cpu(process: Process) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: Process) -> float:
    """Return the MiB that a process has in memory."""
    pages = Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def posted(**value: Any) -> dict[str, Any]:
    value = {"metadata": {"phone_number_id": NUMBER}, **value}
    return {"entry": [{"changes": [{"field": "messages", "value": value}]}]}


class Clients:
    """Posts receipts at a rate, and messages beside them."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = url, http
        self._busy: set[asyncio.Task[None]] = set()

    async def _post(self, body: dict[str, Any]) -> None:
        async with self._http.post(self._url, json=body) as response:
            assert response.status == 200

    async def receipts(self, statuses: list[dict[str, Any]], rate: float, each: int) -> None:
        began = time.monotonic()
        for start in range(0, len(statuses), each):
            await asyncio.sleep(max(0.0, began + start / rate - time.monotonic()))
            task = asyncio.ensure_future(
                self._post(posted(statuses=statuses[start : start + each]))
            )
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        await asyncio.gather(*self._busy)

    async def messages(self, ids: str, times: list[float]) -> None:
        """Post messages until cancelled; note how long each takes to be acknowledged."""
        n = 0
        while True:
            n += 1
            message = {"id": f"{ids}{n}", "from": f"49{n}", "type": "text", "text": {"body": "hi"}}
            began = time.monotonic()
            await self._post(posted(messages=[message]))
            times.append(1000 * (time.monotonic() - began))
            await asyncio.sleep(0.05)


def show(what: str, times: list[float]) -> None:
    cuts = quantiles(times, n=100)
    print(f"  messages {what}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms ({len(times)})")


async def replied(project: Project, service: FakeService, backlog: list[Reply], on: str) -> Process:
    """Return a `deliver` process that has sent a backlog, with or without notes."""
    keys = {"number": NUMBER, "url": service.url, "on": on}
    project.write("credentials.yml", CREDENTIALS.format(**keys))
    deliver = await project.deliver()
    await deliver.prints("joining receipts" if on == "true" else "consuming")
    service.accepted.clear()
    before = cpu(deliver)
    await put(project, 2, backlog)
    await eventually(lambda: len(service.accepted) >= len(backlog), patience=600)
    await asyncio.sleep(2)
    used = 1e6 * (cpu(deliver) - before) / len(backlog)
    print(f"deliver: {used:.0f} µs of CPU a reply, receipts: {on}")
    return deliver


async def measure(project: Project, service: FakeService, asked: argparse.Namespace) -> None:
    number = asked.receipts // 3
    service.answer = _accept
    port = free_port()
    backlog = replies([f"49{n}" for n in range(number)], 1, "whatsapp")
    without = await replied(project, service, backlog, "false")
    without.terminate()
    await without.ends()
    deliver = await replied(project, service, backlog, "true")
    webhook = await project.webhook(port)
    memory = resident(deliver)
    told: list[str] = []

    def read(delivery: Delivery) -> None:
        told.extend(r["reply_id"] for r in json.loads(delivery.body)["receipts"])

    async with (
        connect(project.broker_url, "crm") as connection,
        aiohttp.ClientSession() as http,
        aiohttp.ClientSession() as other,
    ):
        channel = await connection.consumer_channel(prefetch=0)
        for outcome in ("sent", "delivered", "read"):
            await channel.consume_private(
                read, f"{project.namespace}.receipts", f"whatsapp.{outcome}"
            )
        url = f"http://127.0.0.1:{port}/webhooks/whatsapp/webhook"
        clients, users = Clients(url, http), Clients(url, other)
        quiet: list[float] = []
        talking = asyncio.ensure_future(users.messages("q", quiet))
        await asyncio.sleep(5)
        talking.cancel()
        ignored = [{"id": "x", "status": "deleted"} for _ in range(number)]
        idle = cpu(webhook)
        await clients.receipts(ignored, asked.rate, 1)
        print(f"webhook: {1e6 * (cpu(webhook) - idle) / number:.0f} µs a request without receipts")
        statuses = [
            {"id": f"wamid.{reply.recipient_id}", "status": outcome}
            for outcome in ("sent", "delivered", "read")
            for reply in backlog
        ]
        loaded: list[float] = []
        talking = asyncio.ensure_future(users.messages("l", loaded))
        start, began = (cpu(webhook), cpu(deliver)), time.monotonic()
        await clients.receipts(statuses, asked.rate, asked.per_request)
        posted_in = time.monotonic() - began
        await eventually(lambda: len(told) >= len(statuses), patience=600)
        took = time.monotonic() - began
        talking.cancel()
        used = cpu(webhook) - start[0], cpu(deliver) - start[1]
    assert None not in told
    for name, seconds in zip(("webhook", "deliver"), used, strict=True):
        print(f"{name}: {1e6 * seconds / len(statuses):.0f} µs of CPU a receipt")
    print(f"  {len(statuses) / posted_in:.0f} receipts/s posted, all joined after {took:.1f} s")
    print(f"  memory of deliver: {memory:.0f} → {resident(deliver):.0f} MiB")
    show("without receipts", quiet)
    show("with receipts", loaded)


def _accept(call: Call) -> web.Response:
    # Indicators have no recipient.
    return web.json_response({"messages": [{"id": f"wamid.{call.body.get('to')}"}]})


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--receipts", type=int, default=9000)
    parser.add_argument("--rate", type=float, default=3000)
    parser.add_argument("--per-request", type=int, default=5)
    parser.add_argument("--url", default="")
    asked = parser.parse_args()
    broker = None if asked.url else make_broker()
    if broker is not None:
        broker.start()
    url = asked.url or (broker.url if broker else "")
    service = FakeService()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), url, f"bench{free_port()}")
    try:
        await measure(project, service, asked)
    finally:
        project.close()
        await service.stop()
        if broker is not None:
            broker.close()


if __name__ == "__main__":
    asyncio.run(main())
