"""Rasa's lock store cannot block or fail a turn: real Rasa, real Redis, a killed worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests.acceptance.stack import MODEL, START
from tests.support.broker import free_port
from tests.support.processes import Process, Project
from tests.support.redis import MISSING, SERVER, Redis
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(SERVER is None, reason=MISSING)

HOUR = 3600


@pytest_asyncio.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    redis = Redis(tmp_path)
    await redis.start()
    yield redis
    redis.kill()


def add_endpoints(project: Project, redis: Redis, service: FakeService) -> None:
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write(
        "endpoints.yml",
        endpoints
        + f"action_endpoint:\n  url: {service.url}actions\n"
        + f"tracker_store:\n  type: SQL\n  dialect: sqlite\n  db: {project.directory}/t.db\n"
        + f"lock_store:\n  type: redis\n  url: 127.0.0.1\n  port: {redis.port}\n  db: 0\n",
    )


async def start_worker(project: Project) -> Process:
    process = project.bridge("worker", "-m", str(MODEL))
    await process.prints("consuming", patience=START)
    return process


async def test_a_ticket_left_by_a_killed_process_or_a_dead_redis_delays_no_turn(
    project: Project, redis: Redis, service: FakeService, http: aiohttp.ClientSession
) -> None:
    from rasa.core.lock_store import RedisLockStore

    add_endpoints(project, redis, service)
    # What a killed `rasa run` leaves behind.
    tickets = RedisLockStore("127.0.0.1", redis.port, db=0)
    tickets.issue_ticket("ada", lock_lifetime=HOUR)

    def answer(call: Call) -> web.Response | Awaitable[web.Response]:
        return stalled() if call.path.startswith("/actions") else web.json_response({})

    async def stalled() -> web.Response:
        await asyncio.sleep(HOUR)
        return web.json_response({"events": [], "responses": []})

    service.answer = answer
    port = free_port()
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"

    async def says(text: str) -> None:
        async with http.post(url, json={"sender": "ada", "message": text}) as response:
            assert response.status == 200

    worker, *_ = await asyncio.gather(
        start_worker(project), project.webhook(port), project.deliver()
    )
    await says("hi")
    await eventually(lambda: len(service.texts("ada")) == 1, "the foreign ticket is ignored")
    await says("what is my discount")
    await eventually(
        lambda: any(call.path.startswith("/actions") for call in service.calls), "a turn runs"
    )
    worker.kill()

    service.answer = lambda call: web.json_response({"events": [], "responses": []})
    await start_worker(project)
    began = time.monotonic()
    await says("bye")
    await eventually(lambda: len(service.texts("ada")) == 2, "the next worker answers")
    assert time.monotonic() - began < 30

    redis.kill()
    await says("hi")
    await eventually(lambda: len(service.texts("ada")) == 3, "redis is not needed")
