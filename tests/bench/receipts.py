"""What receipts cost: CPU time per receipt of each process, and the delay of messages meanwhile.

python -m tests.bench.receipts [--receipts 9000] [--rate 3000] [--per-request 5] [--url amqp://…]

Rounds with and without receipts alternate, and so do requests to a bare Sanic and to the webhook.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from time import monotonic as now
from typing import Any

import aiohttp
from aiohttp import web

from bridge.broker.back import put_back
from bridge.broker.confirms import ConfirmChannel
from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.messages import Delivery, Reply, encode
from tests.bench.cpu import seconds
from tests.bench.peers.bare_statuses import PATH
from tests.support.broker import free_port, make_broker
from tests.support.fakes import a_reply
from tests.support.pacing import put, replies
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

NUMBER, SECRET = "106540352242922", "app-secret"
CREDENTIALS = """
whatsapp:
  access_token: EAAW
  phone_number_id: "{number}"
  app_secret: {secret}
  verify: me
  api_url: {url}
  rate_limit_per_recipient: none
  receipts: {on}
"""
ROUNDS = 4
REQUESTS = 2000
"""Requests of a round beside a bare Sanic, over `CONNECTIONS`."""
CONNECTIONS = 20
PAUSE = 0.05
"""Seconds between two messages, and between two replies, whose delay is measured."""
PROBE = "77"
"""Begins the numbers of the recipients of such replies."""


def resident(process: Process) -> float:
    """Return the MiB that a process has in memory."""
    pages = Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def posted(**value: Any) -> bytes:
    value = {"metadata": {"phone_number_id": NUMBER}, **value}
    body = {"entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}
    return json.dumps(body).encode()


def status(id: str, outcome: str) -> dict[str, Any]:
    """Return a status with the fields that the Cloud API sends."""
    pricing = {"billable": True, "pricing_model": "PMP", "category": "service", "type": "regular"}
    now = str(int(time.time()))
    to = {"timestamp": now, "recipient_id": "16505551234", "pricing": pricing}
    return {"id": id, "status": outcome, **to}


class Clients:
    """Posts receipts at a rate."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = url, http
        self._busy: set[asyncio.Task[None]] = set()

    async def post(self, body: bytes) -> None:
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        async with self._http.post(self._url, data=body, headers=headers) as response:
            assert response.status == 200

    async def receipts(self, statuses: list[dict[str, Any]], rate: float, each: int) -> None:
        began = now()
        for start in range(0, len(statuses), each):
            await asyncio.sleep(max(0.0, began + start / rate - now()))
            body = posted(statuses=statuses[start : start + each])
            task = asyncio.ensure_future(self.post(body))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        await asyncio.gather(*self._busy)

    async def one_after_another(self, statuses: list[dict[str, Any]]) -> None:
        """Post each status alone, over some connections."""

        async def some(own: list[dict[str, Any]]) -> None:
            for each in own:
                await self.post(posted(statuses=[each]))

        await asyncio.gather(*(some(statuses[n::CONNECTIONS]) for n in range(CONNECTIONS)))


class Probes:
    """Messages and replies, and how long each of them takes."""

    def __init__(self, project: Project, users: Clients, channel: ConfirmChannel) -> None:
        self._topology = Topology(project.namespace, 4, 2, ("whatsapp",))
        self._users, self._channel = users, channel
        self._began: dict[str, float] = {}
        self._number = 0
        self.acknowledged: list[float] = []
        self.delivered: list[float] = []
        """Milliseconds of the current round."""

    def arrived(self, recipient: str) -> None:
        """Note that the service has received a reply."""
        began = self._began.pop(recipient, None)
        if began is not None:
            self.delivered.append(1000 * (now() - began))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.acknowledged, self.delivered = [], []
        tasks = [asyncio.ensure_future(self._messages()), asyncio.ensure_future(self._replies())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()

    def show(self, when: str) -> None:
        """Print the percentiles of the last round."""
        print(f"round {when}")
        for what, times in (
            ("messages acknowledged", self.acknowledged),
            ("replies delivered", self.delivered),
        ):
            cuts = quantiles(times, n=100)
            print(f"  {what}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms ({len(times)})")

    async def _messages(self) -> None:
        while True:
            self._number += 1
            who = f"49{self._number}"
            message = {"id": f"m{who}", "from": who, "type": "text", "text": {"body": "hi"}}
            began = now()
            await self._users.post(posted(messages=[message]))
            self.acknowledged.append(1000 * (now() - began))
            await asyncio.sleep(PAUSE)

    async def _replies(self) -> None:
        while True:
            self._number += 1
            who = f"{PROBE}{self._number}"
            reply = a_reply(f"{who}:0", channel="whatsapp", recipient_id=who, text="hi")
            self._began[who] = now()
            await put_back(self._channel, self._topology, reply, encode(reply))
            await asyncio.sleep(PAUSE)


async def replied(project: Project, service: FakeService, backlog: list[Reply], on: str) -> Process:
    """Return a `deliver` process that has sent a backlog, with or without notes."""
    keys = {"number": NUMBER, "secret": SECRET, "url": service.url, "on": on}
    project.write("credentials.yml", CREDENTIALS.format(**keys))
    deliver = await project.deliver()
    await deliver.prints("joining receipts" if on == "true" else "consuming")
    service.accepted.clear()
    before = seconds(deliver.popen.pid)
    await put(project, 2, backlog)
    await eventually(lambda: len(service.accepted) >= len(backlog), patience=600)
    used = 1e6 * (seconds(deliver.popen.pid) - before) / len(backlog)
    print(f"deliver: {used:.0f} µs of CPU a reply, receipts: {on}")
    return deliver


async def beside_sanic(project: Project, webhook: Process, url: str) -> None:
    """Compare requests with one receipt each."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.peers.bare_statuses", str(port), SECRET]
    bare = project.start("bare", command)
    used: dict[str, list[float]] = {"bare Sanic": [], "webhook": []}
    async with aiohttp.ClientSession() as http:
        targets = {
            "bare Sanic": (bare, Clients(f"http://127.0.0.1:{port}{PATH}", http)),
            "webhook": (webhook, Clients(url, http)),
        }
        await eventually(lambda: _listens(port))
        for _ in range(ROUNDS + 1):
            for name, (process, clients) in targets.items():
                unknown = [status(f"wamid.unknown{n}", "sent") for n in range(REQUESTS)]
                before = seconds(process.popen.pid)
                await clients.one_after_another(unknown)
                used[name].append(1e6 * (seconds(process.popen.pid) - before) / REQUESTS)
    bare.terminate()
    costs = {name: median(each[1:]) for name, each in used.items()}
    for name, each in used.items():
        spread = f"{min(each[1:]):.0f} to {max(each[1:]):.0f}"
        print(f"{name}: {costs[name]:.0f} µs a request with one receipt ({spread})")
    print(f"  ours: {costs['webhook'] - costs['bare Sanic']:.0f} µs")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def measure(project: Project, service: FakeService, asked: argparse.Namespace) -> None:
    number = asked.receipts // 3
    arrived: list[Callable[[str], None]] = []

    def accept(call: Call) -> web.Response:
        to = str(call.body.get("to"))  # indicators have no recipient
        for each in arrived:
            each(to)
        return web.json_response({"messages": [{"id": f"wamid.{to}"}]})

    service.answer = accept
    port = free_port()
    backlog = replies([f"49{n}" for n in range(number)], 1, "whatsapp")
    without = await replied(project, service, backlog, "false")
    without.terminate()
    await without.ends()
    deliver = await replied(project, service, backlog, "true")
    webhook = await project.webhook(port)
    memory = resident(deliver)
    told = 0

    def read(delivery: Delivery) -> None:
        nonlocal told
        told += sum(r["reply_id"] is not None for r in json.loads(delivery.body)["receipts"])

    async with (
        connect(project.broker_url, "crm") as connection,
        connect(project.broker_url, "probes") as other_connection,
        aiohttp.ClientSession() as http,
        aiohttp.ClientSession() as other,
    ):
        channel = await connection.consumer_channel(prefetch=0)
        for outcome in ("sent", "delivered", "read"):
            await channel.consume_private(
                read, f"{project.namespace}.receipts", f"whatsapp.{outcome}"
            )
        url = f"http://127.0.0.1:{port}{PATH}"
        await beside_sanic(project, webhook, url)
        clients = Clients(url, http)
        confirms = await other_connection.confirm_channel()
        probes = Probes(project, Clients(url, other), confirms)
        arrived.append(probes.arrived)
        statuses = [
            status(f"wamid.{reply.recipient_id}", outcome)
            for outcome in ("sent", "delivered", "read")
            for reply in backlog
        ]
        share = len(statuses) // ROUNDS // 2
        processes, used = {"webhook": webhook, "deliver": deliver}, {"webhook": 0.0, "deliver": 0.0}

        async def posted_and_joined() -> float:
            """Post the next receipts; return how many were posted a second."""
            some, goal, began = [statuses.pop() for _ in range(share)], told + share, now()
            await clients.receipts(some, asked.rate, asked.per_request)
            rate = share / (now() - began)
            await eventually(lambda: told >= goal, patience=600)
            return rate

        for _ in range(ROUNDS):
            async with probes.running():
                await asyncio.sleep(max(5.0, share / asked.rate))
            probes.show("without receipts")
            async with probes.running():
                rate = await posted_and_joined()
            probes.show(f"with {rate:.0f} receipts/s")
            before = {name: seconds(process.popen.pid) for name, process in processes.items()}
            await posted_and_joined()
            for name, process in processes.items():
                used[name] += seconds(process.popen.pid) - before[name]
    for name, total in used.items():
        each = total / (share * ROUNDS)
        print(f"{name}: {1e6 * each:.0f} µs of CPU a receipt, a core takes {1 / each:.0f}/s")
    print(f"  memory of deliver: {memory:.0f} → {resident(deliver):.0f} MiB")


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
