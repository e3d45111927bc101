"""`rasa-bridge monitor` over HTTP: live data, dead letters, metrics, access control."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

from tests.support.broker import free_port
from tests.support.cli import only_line, run_bridge
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.raw import asked, head
from tests.support.service import FakeService
from tests.support.waiting import eventually

TOKEN = "a token of enough length"
CHANNEL = "callback:\n  url: http://127.0.0.1:1/\n"
SECRET = "xyzzy-plugh"


class Monitor:
    """A running monitor and a client of it."""

    def __init__(self, process: Process, port: int, http: aiohttp.ClientSession) -> None:
        self.process = process
        self.base = f"http://127.0.0.1:{port}"
        self.http = http

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        sent = {"Origin": self.base, "Content-Type": "application/json", **headers}
        data = json.dumps(body)
        async with self.http.post(self.base + path, data=data, headers=sent) as response:
            return response.status, await response.json()

    async def dead(self, action: str, **body: Any) -> Any:
        status, answer = await self.post(f"/api/dead/{action}", body)
        assert status == 200, answer
        return answer

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(self.base + path, headers=headers) as response:
            return response.status, await response.text()

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        """Yield each event of a new stream, until the monitor ends it."""
        async with self.http.get(f"{self.base}/api/stream") as response:
            name = ""
            async for line in response.content:
                kind, _, value = line.decode().strip().partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    yield name, json.loads(value)


async def start(project: Project, http: aiohttp.ClientSession, *options: str) -> Monitor:
    port = free_port()
    process = project.bridge("monitor", "-p", str(port), *options)
    await process.prints(f"on http://127.0.0.1:{port}/")
    return Monitor(process, port, http)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    # One line of the stream holds a complete snapshot.
    async with aiohttp.ClientSession(read_bufsize=2**20) as http:
        yield http


def refuse_secrets(call: Any) -> web.Response:
    return web.json_response({}, status=400 if SECRET in call.body["text"] else 200)


async def test_the_monitor_shows_traffic_and_replays_and_purges_dead_letters(
    project: Project, service: FakeService, port: int, http: aiohttp.ClientSession
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handlers.py", ECHO)
    service.answer = refuse_secrets
    await asyncio.gather(
        project.webhook(port), project.worker("--handler", "handlers:handle"), project.deliver()
    )
    monitor = await start(project, http)
    for sender in ("ada", "bob"):
        for text in ("hello", SECRET):
            url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
            async with http.post(url, json={"sender": sender, "message": text}) as response:
                assert response.status == 200

    # the stream
    events = monitor.events()
    first, history = await anext(events)
    assert first == "history"
    async for name, news in events:
        assert name in ("snapshot", "lost")
        if name == "snapshot" and news["snapshot"]["dead"]["replies"] == 2:
            snapshot = news["snapshot"]
            if snapshot["flows"][1]["settled"] and len(snapshot["processes"]) == 3:
                break
    assert news["problems"] == []
    assert [flow["channel"] for flow in snapshot["flows"]] == ["", "callback"]
    holders = {p["holder"] for p in snapshot["flows"][0]["partitions"]}
    assert holders == {p["name"] for p in snapshot["processes"] if p["role"] == "worker"}
    assert news["point"]["flows"]["replies callback"][3] > 0
    _, again = await anext(monitor.events())
    assert len(again["points"]) > len(history["points"])

    # metrics
    _, metrics = await monitor.get("/metrics")
    assert 'rasa_bridge_queue_consumers{channel="callback",flow="replies"} 1.0' in metrics
    assert 'rasa_bridge_dead_letters_waiting{flow="replies"} 2.0' in metrics

    # dead letters
    found = await monitor.dead("list", filter={"error": "reject"}, limit=1)
    assert found["total"] is None  # the first ones come before all are counted
    assert await monitor.dead("count", filter={"error": "reject"}) == {"total": 2}
    causes = await monitor.dead("causes", filter={})
    (group,) = causes["groups"]
    assert (group["letters"], group["reason"], group["cause"]) == (2, "rejected", "HTTP 400")
    cause = {name: group[name] for name in ("flow", "channel", "reason", "cause")}
    assert await monitor.dead("count", filter=cause) == {"total": 2}
    (letter,) = found["letters"]
    one = {name: letter[name] for name in ("flow", "id", "channel", "conversation")}
    assert one["flow"] == "replies"
    assert SECRET not in json.dumps([found, await monitor.dead("show", filter=one)])
    shown = await monitor.dead("show", filter=one, text=True)
    assert [(fact["text"], fact["reason"]) for fact in shown["letters"]] == [(SECRET, "rejected")]
    service.answer = lambda call: web.json_response({})
    replayed = {"replayed": 1, "kept": {}, "unanswered": 0, "unseen": 0, "left": 0}
    assert await monitor.dead("replay", filter=one) == replayed
    await eventually(lambda: service.texts(letter["conversation"]) == ["hello", SECRET])
    status, _ = await monitor.post("/api/dead/purge", {"filter": {"chanel": "x"}, "most": 9})
    assert status == 400
    purged = {"deleted": 0, "unseen": 0, "stopped": False}
    assert await monitor.dead("purge", filter={"flow": "inbound"}, most=9) == purged
    assert await monitor.dead("purge", filter={}, most=1) == {
        "deleted": 1,
        "unseen": 0,
        "stopped": False,
    }
    assert await monitor.dead("list", filter={}) == {"letters": [], "total": 0}

    # a pause
    flow = {"flow": "replies", "channel": "callback"}
    assert (await monitor.post("/api/flow", {**flow, "action": "stop"}))[0] == 400
    unknown = {"flow": "replies", "channel": "slack", "action": "pause"}
    assert (await monitor.post("/api/flow", unknown))[0] == 404
    assert (await monitor.post("/api/flow", {**flow, "action": "pause"}))[0] == 200
    paused = "replies callback: paused by the monitor page since"
    news = await anext(news async for _, news in events if news["problems"])
    assert news["problems"][0]["text"].startswith(paused)
    assert (await monitor.post("/api/flow", {**flow, "action": "resume"}))[0] == 200
    async for _, news in events:
        if news["problems"] == []:
            break

    # an open stream does not delay the shutdown, and ends cleanly
    monitor.process.terminate()
    async for name, _ in events:
        assert name == "snapshot"
    assert await monitor.process.ends() == 0
    assert "stopped" in monitor.process.log
    assert SECRET not in monitor.process.log


async def test_without_a_broker_the_page_is_served_and_says_so(
    project: Project, http: aiohttp.ClientSession
) -> None:
    project.write("credentials.yml", CHANNEL)
    project.write("endpoints.yml", "bridge:\n  url: amqp://127.0.0.1:1/\n")
    monitor = await start(project, http)
    events = monitor.events()
    assert (await anext(events))[0] == "history"
    async for name, news in events:
        assert name == "lost"
        if "refused" in news["problem"]:
            break
    status, answer = await monitor.post("/api/dead/list", {"filter": {}})
    assert (status, "no broker" in answer["error"]) == (503, True)
    assert (await monitor.get("/"))[0] == 200


async def test_the_monitor_keeps_running_while_queues_are_missing(
    project: Project, http: aiohttp.ClientSession
) -> None:
    project.write("credentials.yml", CHANNEL)
    monitor = await start(project, http)
    news = await anext(news async for name, news in monitor.events() if name == "snapshot")
    assert news["problems"][0]["text"].startswith("missing queues: 27, such as ")
    assert run_bridge(project.directory, "topology", "declare").returncode == 0
    consumers = ["inbound: no consumer; start a worker"]
    consumers += ["replies callback: no consumer; start a deliver process"]
    async for _name, news in monitor.events():
        if [problem["text"] for problem in news.get("problems", ())] == consumers:
            break


async def test_access_requires_the_right_host_origin_and_token(
    project: Project, http: aiohttp.ClientSession
) -> None:
    project.write("credentials.yml", CHANNEL)
    project.write("endpoints.yml", "bridge:\n  url: amqp://127.0.0.1:1/\n")
    monitor = await start(project, http)
    closed = await start(project, http, "--token", TOKEN)
    assert TOKEN not in closed.process.log

    assert (await monitor.get("/metrics"))[0] == 200
    for path in ("/", "/metrics", "/api/stream", "/page/page.js"):
        assert (await monitor.get(path, Host="evil.example"))[0] == 403
    assert (await monitor.get("/healthz", Host="evil.example"))[0] == 200
    for path in ("/page/..%2fserver.py", "/page/nothing", "/api/nothing"):
        assert (await monitor.get(path))[0] == 404
    for path in (
        *("/api/dead/list", "/api/dead/show", "/api/dead/replay", "/api/dead/purge"),
        "/api/flow",
    ):
        assert (await monitor.post(path, {}, Origin="http://evil.example"))[0] == 403
        assert (await monitor.post(path, {}, **{"Content-Type": "text/plain"}))[0] == 415
        assert (await monitor.get(path))[0] == 405
        assert (await closed.post(path, {}))[0] == 401

    for path in ("/metrics", "/api/stream", "/api/events"):
        assert (await closed.get(path))[0] == 401
        assert (await closed.get(path, Authorization="Bearer wrong"))[0] == 401
    for path in ("/metrics/", "/api/stream/", "/api/dead/list/", "/nothing", "/page", "/metrics/x"):
        assert (await closed.get(path))[0] == 401, path
    for header in ("Authorization: Bearer", "Cookie: rasa_bridge_monitor="):
        bad = [f"{header} \xff\xfe.\xff"]
        answer = await asked(closed.base, head("/metrics", *bad, method="GET"))
        assert answer.status == 401, answer
    for path in ("/", "/metrics", "/healthz", "/login", "/api/dead/list"):
        for line in ("Content-Length: -1", "Content-Length: +2", "Transfer-Encoding: xchunked"):
            answer = await asked(closed.base, head(path, line))
            assert answer.status == 400, (path, line, answer)
    right = f"Authorization: Bearer {TOKEN}"
    for cookie in ("a@b=1; c/d=2", "=;=;,", 'a="\\400"; $Version=1', "expires=1", "\xff=\xfe"):
        answer = await asked(closed.base, head("/metrics", f"Cookie: {cookie}", method="GET"))
        assert answer.status == 401, (cookie, answer)
        answer = await asked(
            closed.base, head("/metrics", f"Cookie: {cookie}", right, method="GET")
        )
        assert answer.status == 200, (cookie, answer)
    ours = ("Content-Type: application/json", "Origin: http://bot.example", right)
    for body in (b"", b"\xff", b'{"token":"\xff"}', b'{"x":' + b"[" * 9000, b"null", b"[1e400]"):
        for path in ("/login", "/api/dead/list", "/api/dead/purge", "/api/trace", "/api/flow/"):
            answer = await asked(
                closed.base, head(path, f"Content-Length: {len(body)}", *ours) + body
            )
            assert answer.status == 400, (path, body[:20], answer)
    assert (await closed.get("/page/page.js/"))[0] == 200
    assert "login.js" in (await closed.get("/"))[1]
    assert (await closed.get("/healthz"))[0] == 200
    assert (await closed.get("/metrics", Authorization=f"Bearer {TOKEN}"))[0] == 200
    assert (await closed.post("/login", {"token": "wrong"}))[0] == 401
    async with http.post(
        f"{closed.base}/login", json={"token": TOKEN}, headers={"Origin": closed.base}
    ) as response:
        cookie = response.headers["Set-Cookie"]
        policy = response.headers["Content-Security-Policy"]
    assert cookie.endswith("; HttpOnly; SameSite=Strict")
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    session = cookie.partition(";")[0]
    assert "page.js" in (await closed.get("/", Cookie=session))[1]
    assert (await closed.get("/metrics", Cookie=session))[0] == 200
    for process in (monitor.process, closed.process):
        assert "answered 500" not in process.log


def test_a_missing_token_is_one_line_and_exit_code_2(project: Project) -> None:
    project.write("credentials.yml", CHANNEL)
    ran = run_bridge(project.directory, "monitor", "--host", "0.0.0.0")
    assert only_line(ran, 2).startswith(
        "0.0.0.0 is reachable from other machines; set a token of 16 characters "
    )
