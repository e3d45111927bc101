"""Receipts on a real broker: what becomes of each reply is known, also if `deliver` is killed."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest_asyncio
from aiohttp import web

from bridge.broker.connection import connect
from tests.support.broker import free_port
from tests.support.dead import dead_letters
from tests.support.pacing import put, replies
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.system import longer
from tests.support.waiting import PATIENCE, eventually

REPLIES = longer(400, 10_000)
DECIDED_IN = longer(180, 900)
"""Seconds; the provider sends its reports one request after the other."""
KILLS = longer(1, 5)
RECIPIENTS = [f"49151{n:05}" for n in range(40)]
NUMBER = "106540352242922"
CREDENTIALS = """
whatsapp:
  access_token: EAAW
  phone_number_id: "{number}"
  verify: me
  api_url: {url}
  rate_limit_per_recipient: none
  receipts:
    template: {{name: come_back, language: {{code: en}}}}
"""


class Provider:
    """Accepts messages, and reports later what became of them; 5 % are not delivered."""

    def __init__(self, service: FakeService, webhook: str) -> None:
        self.templates: set[str] = set()
        """Recipients of templates."""
        self.accepted: dict[str, tuple[str, str]] = {}
        """Id → recipient and text."""
        self._waiting: list[dict[str, object]] = []
        self._webhook = webhook
        service.answer = self._accept

    def _accept(self, call: Call) -> web.Response:
        id = f"wamid.{uuid.uuid4().hex}"
        to, body = call.body["to"], call.body
        if body["type"] == "template":
            self.templates.add(to)
        else:
            self.accepted[id] = to, body["text"]["body"]
        status: dict[str, object] = {"id": id, "status": "delivered"}
        number = int(body.get("text", {"body": "1"})["body"])
        if number % 20 == 0:
            code = 131047 if int(to) % 2 else 131026
            status = {"id": id, "status": "failed", "errors": [{"code": code, "title": "x"}]}
        now = str(int(time.time()))
        self._waiting += [{**s, "timestamp": now} for s in ({"id": id, "status": "sent"}, status)]
        return web.json_response({"messages": [{"id": id}]})

    async def has_accepted(self, number: int) -> None:
        await eventually(lambda: len(self.accepted) > number, patience=DECIDED_IN)

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Report until every report was accepted once; refused ones are sent again."""
        reporting = asyncio.ensure_future(self._report())
        try:
            yield
        finally:
            reporting.cancel()

    async def _report(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as http:
            while True:
                some = self._waiting[:20]
                value = {"metadata": {"phone_number_id": NUMBER}, "statuses": some}
                body = {"entry": [{"changes": [{"field": "messages", "value": value}]}]}
                if some:
                    async with http.post(self._webhook, json=body) as response:
                        if response.status == 200:
                            del self._waiting[: len(some)]
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def service() -> AsyncIterator[FakeService]:
    service = FakeService()
    await service.start()
    yield service
    await service.stop()


async def test_each_reply_ends_as_what_became_of_it_although_deliver_is_killed(
    project: Project, service: FakeService
) -> None:
    port = free_port()
    project.write("credentials.yml", CREDENTIALS.format(number=NUMBER, url=service.url))
    provider = Provider(service, f"http://127.0.0.1:{port}/webhooks/whatsapp/webhook")

    async def joining() -> Process:
        deliver = await project.deliver("--prefetch", "20")
        await deliver.prints("joining receipts")
        return deliver

    running = [await joining(), await joining()]
    await project.webhook(port)
    each = REPLIES // len(RECIPIENTS)
    backlog = replies(RECIPIENTS, each, "whatsapp")
    reported: set[str] = set()

    async with connect(project.broker_url, "crm") as connection, provider.reporting():
        channel = await connection.consumer_channel(prefetch=0)

        def read(delivery: object) -> None:
            report = json.loads(delivery.body)  # type: ignore[attr-defined]
            assert (report["v"], report["channel"]) == (1, "whatsapp")
            reported.update(r["reply_id"] for r in report["receipts"] if r["reply_id"])

        exchange = f"{project.namespace}.receipts"
        await channel.consume_private(read, exchange, "whatsapp.delivered")
        await put(project, 2, backlog)
        for number in range(1, KILLS + 1):
            enough = len(backlog) * number // (KILLS + 2)
            await provider.has_accepted(enough)
            running.pop(0).kill()  # the oldest consumer of the receipts is the active one
            running.append(await joining())

        failing = {r.id for r in backlog if int(r.text or 1) % 20 == 0}
        succeeding = {r.id for r in backlog} - failing
        undecided = set(failing)

        async def decided() -> bool:
            dead = await dead_letters(project.broker_url, project.namespace, "replies")
            assert all("undelivered" in letter.reason for letter in dead)
            undecided.difference_update(letter.body["id"].partition("~")[0] for letter in dead)
            closed = {r.id for r in backlog if r.recipient_id in provider.templates}
            return not undecided - closed

        try:
            await eventually(lambda: reported >= succeeding, patience=DECIDED_IN)
            await eventually(decided, patience=DECIDED_IN)
        except AssertionError as error:
            missing = sorted(succeeding - reported)[:10], sorted(undecided)[:10]
            raise AssertionError(f"{error}: of {len(provider.accepted)} calls, {missing}") from None
        await channel.close()
    assert len(provider.templates) == len(RECIPIENTS) // 2
    assert not reported & failing, "what failed was not delivered"
