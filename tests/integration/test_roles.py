"""Webhook, worker and deliver as real processes over real HTTP, with a handler without rasa."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

from bridge.broker.connection import connect
from tests.support.broker import Broker
from tests.support.handlers import ECHO, EVERYTHING
from tests.support.processes import Process, Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually


@dataclass
class Running:
    """All roles of a project, and a client."""

    project: Project
    service: FakeService
    http: aiohttp.ClientSession
    base: str
    webhook: Process
    worker: Process
    deliver: Process

    async def post(
        self, channel: str, body: Any, *, query: str = "", **headers: str
    ) -> tuple[int, str]:
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.base}/webhooks/{channel}/webhook{query}"
        async with self.http.post(url, data=data, headers=names) as response:
            return response.status, await response.text()

    async def say(self, text: str, sender: str = "u1", **fields: Any) -> None:
        status, answer = await self.post("callback", {"sender": sender, "message": text, **fields})
        assert (status, answer) == (200, "success")


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest_asyncio.fixture
async def roles(
    project: Project, service: FakeService, http: aiohttp.ClientSession, port: int
) -> Running:
    project.write("credentials.yml", f"rest:\n  timeout: 2\ncallback:\n  url: {service.url}\n")
    project.write("handlers.py", EVERYTHING)
    webhook, worker, deliver = await asyncio.gather(
        project.webhook(port),
        project.worker("--handler", "handlers:handle", "--retry-for", "1"),
        project.deliver(),
    )
    return Running(project, service, http, f"http://127.0.0.1:{port}", webhook, worker, deliver)


async def dead_letters(running: Running, flow: str) -> int:
    async with connect(running.project.broker_url, "test") as connection:
        return await connection.ready_messages(f"{running.project.namespace}.dead.{flow}") or 0


async def test_a_thousand_messages_from_fifty_senders_are_all_answered_in_order(
    project: Project, service: FakeService, http: aiohttp.ClientSession, port: int
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("echo.py", ECHO)
    await asyncio.gather(
        project.webhook(port), project.worker("--handler", "echo:handle"), project.deliver()
    )
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"

    async def talk(sender: str) -> None:
        for n in range(20):
            body = {"sender": sender, "message": str(n)}
            async with http.post(url, json=body) as response:
                assert response.status == 200

    await asyncio.gather(*(talk(f"sender-{s}") for s in range(50)))
    await eventually(lambda: len(service.accepted) >= 1000, "every reply arrives")
    heard = defaultdict(list)
    for call in service.accepted:
        heard[call.body["recipient_id"]].append(call.body["text"])
    assert len(heard) == 50
    assert all(texts == [str(n) for n in range(20)] for texts in heard.values())


async def test_the_webhook_answers_503_while_the_broker_is_down_and_recovers(
    own_broker: Broker,
    namespace: str,
    service: FakeService,
    http: aiohttp.ClientSession,
    port: int,
    tmp_path: Any,
) -> None:
    project = Project(tmp_path, own_broker.url, namespace)
    try:
        project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
        project.write("echo.py", ECHO)
        webhook, worker, deliver = await asyncio.gather(
            project.webhook(port), project.worker("--handler", "echo:handle"), project.deliver()
        )
        base = f"http://127.0.0.1:{port}"
        running = Running(project, service, http, base, webhook, worker, deliver)
        await running.say("before")
        await eventually(lambda: "before" in service.texts())

        own_broker.stop()
        for channel in ("callback", "rest"):
            url = f"{base}/webhooks/{channel}/webhook"
            body = {"sender": "u1", "message": "while down"}
            async with http.post(url, json=body) as response:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) > 0
                answer = await response.json()
                assert answer == {"error": "not accepted; nothing is lost if you send it again"}
        async with http.get(f"{base}/readyz") as response:
            assert (response.status, await response.json()) == (503, {"status": "not ready"})
        async with http.get(f"{base}/healthz") as response:
            assert response.status == 200

        await asyncio.to_thread(own_broker.start)

        async def accepted_again() -> bool:
            status, _ = await running.post("callback", {"sender": "u1", "message": "after"})
            assert status in (200, 503)
            return status == 200

        await eventually(accepted_again)
        await eventually(lambda: "after" in service.texts())
        assert "while down" not in service.texts()
        assert [p.popen.poll() for p in (webhook, worker, deliver)] == [None] * 3
    finally:
        project.close()


BAD_INPUT: list[tuple[Any, int, str]] = [
    (b"{not json", 400, "not JSON"),
    (b"\xff\xfe", 400, "not JSON"),
    (b"", 400, "not JSON"),
    (b"[1]", 400, "JSON list"),
    ({"message": "x"}, 400, "'sender'"),
    ({"sender": "", "message": "x"}, 400, "'sender'"),
    ({"sender": [5], "message": "x"}, 400, "'sender'"),
    ({"sender": "u"}, 400, "'message'"),
    ({"sender": "u", "message": "  "}, 400, "'message'"),
    ({"sender": "u", "message": "x", "metadata": [1]}, 400, "'metadata'"),
    ({"sender": "u", "message": "x" * 1024 * 1024}, 413, "larger"),
    (b"[" * 20_000, 400, "not JSON"),
    (b"[" * 100_000, 400, "too many values"),
]


async def refused(running: Running, channel: str, body: Any) -> tuple[int, str] | None:
    """Post a body; return None if the server closed the connection before it was sent."""
    try:
        return await running.post(channel, body)
    except (aiohttp.ClientError, ConnectionError):
        return None


async def test_invalid_input_is_refused_with_a_reason_and_never_enqueued(roles: Running) -> None:
    for body, status, error in BAD_INPUT:
        for channel in ("callback", "rest"):
            got, answer = await eventually(lambda c=channel, b=body: refused(roles, c, b))
            assert got == status, (body, answer)
            assert error in json.loads(answer)["error"], body
    assert "enqueued" not in roles.webhook.log
    assert "turn" not in roles.worker.log


async def test_the_health_urls_are_those_of_rasa_and_unknown_urls_name_no_channel(
    roles: Running,
) -> None:
    async with roles.http.get(f"{roles.base}/webhooks/callback/") as response:
        assert await response.json() == {"status": "ok"}
    async with roles.http.get(f"{roles.base}/") as response:
        assert (await response.text()).startswith("Hello from rasa-channel-bridge")
    async with roles.http.post(f"{roles.base}/webhooks/unknown/webhook") as response:
        assert response.status == 404
        assert await response.json() == {"error": "unknown URL"}


async def test_every_kind_of_reply_is_posted_in_rasas_callback_format(roles: Running) -> None:
    await roles.say("kinds")
    await eventually(lambda: len(roles.service.accepted) == 8)
    assert [call.body for call in roles.service.accepted] == [
        {"recipient_id": "u1", "text": "one"},
        {"recipient_id": "u1", "text": "two"},
        {"recipient_id": "u1", "text": "pick", "buttons": [{"title": "A", "payload": "/a"}]},
        {
            "recipient_id": "u1",
            "text": "quick",
            "quick_replies": [{"title": "B", "payload": "/b"}],
        },
        {"recipient_id": "u1", "image": "https://example.com/i.png"},
        {"recipient_id": "u1", "attachment": "https://example.com/a.pdf"},
        {"recipient_id": "u1", "elements": [{"title": "T", "subtitle": "S", "buttons": []}]},
        {"recipient_id": "u1", "custom": {"k": [1]}},
    ]
    keys = [call.headers["Idempotency-Key"] for call in roles.service.accepted]
    assert len(set(keys)) == 8


async def test_rest_answers_with_the_same_list_or_lines_as_rasa(
    roles: Running,
) -> None:
    expected = [
        {"recipient_id": "u2", "text": "one"},
        {"recipient_id": "u2", "text": "two"},
        {"recipient_id": "u2", "text": "pick", "buttons": [{"title": "A", "payload": "/a"}]},
        {"recipient_id": "u2", "text": "quick", "buttons": [{"title": "B", "payload": "/b"}]},
        {"recipient_id": "u2", "image": "https://example.com/i.png"},
        {"recipient_id": "u2", "attachment": "https://example.com/a.pdf"},
        {"recipient_id": "u2", "text": "T : S", "buttons": []},
        {"recipient_id": "u2", "custom": {"k": [1]}},
    ]
    body = {"sender": "u2", "message": "kinds"}
    status, answer = await roles.post("rest", body)
    assert (status, json.loads(answer)) == (200, expected)
    status, answer = await roles.post("rest", body, query="?stream=true")
    assert (status, [json.loads(line) for line in answer.splitlines()]) == (200, expected)
    assert await roles.post("rest", {"sender": "u2", "message": "nothing"}) == (200, "[]")


async def test_rest_answers_504_after_its_deadline_and_the_turn_still_completes(
    roles: Running,
) -> None:
    status, answer = await roles.post("rest", {"sender": "u3", "message": "slow"})
    assert status == 504
    assert "still completes" in json.loads(answer)["error"]
    await roles.worker.prints("took 3")


async def test_a_stream_ends_with_an_error_line_after_its_deadline(roles: Running) -> None:
    status, answer = await roles.post(
        "rest", {"sender": "u3", "message": "slow"}, query="?stream=true"
    )
    assert status == 200
    assert "still completes" in json.loads(answer)["error"]


async def test_rest_answers_500_for_a_dead_lettered_turn_and_the_next_turn_runs(
    roles: Running,
) -> None:
    body = {"sender": "u3", "message": "fail"}
    status, answer = await roles.post("rest", body)
    assert status == 500
    assert "dead letter" in json.loads(answer)["error"]
    assert await dead_letters(roles, "inbound") == 1
    status, answer = await roles.post("rest", {"sender": "u3", "message": "again"})
    assert json.loads(answer) == [{"recipient_id": "u3", "text": "again"}]
    assert "said: FAIL" not in roles.worker.log


async def test_unusual_ids_are_accepted_and_texts_that_cannot_be_stored_are_refused(
    roles: Running,
) -> None:
    status, answer = await roles.post("callback", b'{"sender": "u8", "message": "\\ud800"}')
    assert status == 400
    assert "cannot be stored" in json.loads(answer)["error"]
    for key in ("message_id", "sender", "input_channel"):
        body = {"sender": "u8", "message": "hello", key: "x" * 1025}
        status, answer = await roles.post("callback", body)
        assert status == 400
        assert key in json.loads(answer)["error"]
    for n, id in enumerate(("x" * 1024, "ü" * 300, "a:b/c#*")):
        await roles.say(f"long {n}", sender="u8", message_id=id)
    await eventually(lambda: len(roles.service.texts("u8")) == 3)


async def test_two_rest_requests_with_the_same_id_never_see_each_others_replies(
    roles: Running,
) -> None:
    answers = await asyncio.gather(
        *(
            roles.post("rest", {"sender": f"s{n}", "message": f"for {n}", "message_id": "1"})
            for n in range(10)
        )
    )
    assert [json.loads(answer) for _, answer in answers] == [
        [{"recipient_id": f"s{n}", "text": f"for {n}"}] for n in range(10)
    ]


async def test_the_same_id_twice_is_one_turn_however_it_is_sent(roles: Running) -> None:
    body = {"sender": "u1", "message": "hello"}
    for headers in ({"Idempotency_Key": "a"}, {"webhook_id": "b"}):
        for _ in range(2):
            assert (await roles.post("callback", body, **headers))[0] == 200
    for _ in range(2):
        await roles.say("hello", message_id="c")
    await roles.say("the end")
    await eventually(lambda: "the end" in roles.service.texts())
    assert roles.service.texts() == ["hello"] * 3 + ["the end"]
    assert await roles.post("rest", {**body, "message_id": "d"}) != (200, "[]")
    assert await roles.post("rest", {**body, "message_id": "d"}) == (200, "[]")


async def test_a_retried_turn_sends_no_reply_twice(roles: Running) -> None:
    await roles.say("fail once", sender="u4")
    await eventually(lambda: "after" in roles.service.texts("u4"))
    assert roles.service.texts("u4") == ["before", "after"]


async def test_a_failing_delivery_is_retried_in_order_and_delays_only_its_recipient(
    roles: Running,
) -> None:
    failures = 0

    def answer(call: Call) -> web.Response:
        nonlocal failures
        if call.body["recipient_id"] == "bad" and failures < 3:
            failures += 1
            return web.json_response({}, status=500)
        return web.json_response({})

    roles.service.answer = answer
    for n in range(3):
        await roles.say(f"bad {n}", sender="bad")
        await roles.say(f"good {n}", sender="good")
    await eventually(lambda: len(roles.service.accepted) == 6)
    assert roles.service.texts("bad") == ["bad 0", "bad 1", "bad 2"]
    assert roles.service.texts("good") == ["good 0", "good 1", "good 2"]
    keys = {c.headers["Idempotency-Key"] for c in roles.service.calls if c.body["text"] == "bad 0"}
    assert len(keys) == 1


async def test_a_rejected_reply_is_dead_lettered_and_the_next_one_is_delivered(
    roles: Running,
) -> None:
    roles.service.answer = lambda call: web.json_response(
        {}, status=400 if call.body["text"] == "refuse me" else 200
    )
    await roles.say("refuse me", sender="u5")
    await roles.say("take me", sender="u5")
    await eventually(lambda: roles.service.texts("u5") == ["take me"])

    async def kept() -> bool:
        return await dead_letters(roles, "replies") == 1

    await eventually(kept, "the dead letter is kept")


async def test_replies_wait_while_their_service_is_down_and_then_arrive_in_order(
    roles: Running,
) -> None:
    await roles.service.stop()
    for n in range(5):
        await roles.say(str(n), sender="u6")
    await roles.deliver.prints("circuit breaker open: the service is down")
    await roles.service.start()
    await eventually(lambda: len(roles.service.texts("u6")) == 5)
    assert roles.service.texts("u6") == [str(n) for n in range(5)]
    assert await dead_letters(roles, "replies") == 0


async def test_sigterm_stops_every_role_cleanly_and_a_running_turn_finishes(
    roles: Running,
) -> None:
    await roles.say("slow", sender="u7")
    await eventually(lambda: _nothing_ready(roles), "the worker has taken the message")
    for process in (roles.webhook, roles.worker):
        process.terminate()
    assert await roles.webhook.ends() == 0
    assert await roles.worker.ends() == 0
    await eventually(lambda: "late" in roles.service.texts())
    roles.deliver.terminate()
    assert await roles.deliver.ends() == 0


async def _nothing_ready(running: Running) -> bool:
    async with connect(running.project.broker_url, "test") as connection:
        names = [f"{running.project.namespace}.inbound.{n:02}" for n in range(4)]
        return sum([await connection.ready_messages(name) or 0 for name in names]) == 0


async def test_no_log_line_contains_a_message_text(
    roles: Running,
) -> None:
    secret = "xyzzy-plugh"
    await roles.say(secret)
    await roles.post("rest", {"sender": "u1", "message": secret})
    await roles.post("callback", f'{{"sender": "{secret}"')
    await eventually(lambda: secret in roles.service.texts())
    for process in (roles.webhook, roles.worker, roles.deliver):
        assert secret not in process.log
