"""Our limits on the app of another program, which calls `app.run`: hosted mode in `rasa run`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest
import pytest_asyncio

from tests.support.broker import free_port
from tests.support.raw import asked, connected, head
from tests.support.waiting import eventually

APP = """
import sys

from sanic import Blueprint, Sanic
from sanic.response import json

from bridge.http import intake, protocol
from bridge.http.direct import direct

protocol.HEAD_SECONDS = intake.BODY_SECONDS = 0.5
app = Sanic("app_of_others", configure_logging=False)
ours = Blueprint("ours")


@ours.listener("before_server_start")
async def guarded(app, *_):
    intake.guard(app).limit("/hooks/", 1000)


@ours.post("/message")
@app.post("/train")
async def size(request):
    return json(len(request.body))


@ours.post("/direct")
@direct
async def direct_size(request):
    return json(f"direct {len(request.body)}")


@app.get("/held")
async def held(request):
    return json(app.ctx.intake.held + len(app.ctx.intake.arriving))


app.config.REQUEST_MAX_SIZE = 20_000_000
app.config.ACCESS_LOG = False
app.blueprint((protocol.ConnectionsOf("limits"), ours), url_prefix="/hooks")
single = {} if sys.version_info < (3, 11) else {"single_process": True}
app.run(host="127.0.0.1", port=int(sys.argv[1]), access_log=False, **single)
"""
SECONDS = 0.5
"""Both deadlines of the app."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", APP, str(port)], stdout=subprocess.DEVNULL) as app:
        yield f"http://127.0.0.1:{port}"
        app.terminate()


@pytest_asyncio.fixture(autouse=True)
async def _started(base: str) -> None:
    async def is_up() -> bool:
        try:
            return (await asked(base, head("/held", method="GET"))).body == b"0"
        except OSError:
            return False

    await eventually(is_up, "nothing of the test before is held")


@pytest.mark.parametrize(
    "start",
    [b"P", head("/train")[:-2], head("/train", "Content-Length: 9"), head("/hooks/message")[:-4]],
)
async def test_a_head_and_a_body_have_a_deadline_on_all_urls(base: str, start: bytes) -> None:
    async with connected(base) as client:

        async def drip() -> None:
            for _ in range(8):
                await client.send(b"x")
                await asyncio.sleep(SECONDS / 5)

        await client.send(start)
        dripping = asyncio.ensure_future(drip())
        answer = await client.answer()
        assert answer.status == 408
        assert b"did not arrive within 0.5 s" in answer.body
        await client.closed()
        await dripping


async def test_a_body_that_is_read_after_the_answer_is_no_request(base: str) -> None:
    request = head("/hooks/direct", "Content-Length: 2") + b"ab"
    async with connected(base) as client:
        for _ in range(2):
            await client.send(request)
            assert (await client.answer()).body == b'"direct 2"'
        await client.send(head("/nothing", f"Content-Length: {len(request)}"))
        assert (await client.answer()).status == 404
        await client.send(request)
        await client.send(head("/held", method="GET"))
        assert (await client.answer()).body == b"0"


async def test_the_second_head_of_a_connection_has_one_too(base: str) -> None:
    async with connected(base) as client:
        await client.send(head("/held", method="GET") + b"GET ")
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 408


async def test_a_long_body_that_arrives_steadily_is_read_to_its_end(base: str) -> None:
    size = 400_000  # 6 s at the slowest
    async with connected(base) as client:
        await client.send(head("/train", f"Content-Length: {size}"))
        for _ in range(10):
            await client.send(b" " * (size // 10))
            await asyncio.sleep(SECONDS / 5)
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, str(size).encode())


async def test_our_urls_have_their_limit_and_others_that_of_the_app(base: str) -> None:
    for path, size, status in (
        ("/hooks/message", 1000, 200),
        ("/hooks/message", 1001, 413),
        ("/train", 100_000, 200),
        ("/train", 20_000_001, 413),
    ):
        request = head(path, f"Content-Length: {size}") + b" " * min(size, 100_000)
        assert (await asked(base, request)).status == status, (path, size)


async def test_unfinished_bodies_have_room_for_one_of_the_longest(base: str) -> None:
    """At most 20 MB are held, whatever arrives, and the oldest gives way."""
    half = b" " * 12_000_000
    start = head("/train", "Content-Length: 19000000") + half
    async with connected(base) as old, connected(base) as new:
        await old.send(start)
        sending = asyncio.ensure_future(new.send(start + half[:7_000_000]))
        assert (await old.answer()).status == 503
        await sending
        assert (await new.answer()).status == 200

    async def nothing_is_held() -> bool:
        return (await asked(base, head("/held", method="GET"))).body == b"0"

    await eventually(nothing_is_held)
