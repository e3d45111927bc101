"""Copies of a reply between real processes: each is marked, and what differs is sent."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
from aiohttp import web

from tests.support.processes import Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

RERUN = """
tried = set()


async def handle(message, output):
    again = message.text in tried
    tried.add(message.text)
    await output.send_text_message(message.sender_id, f"same {message.text}")
    answer = "second" if again else "first"
    await output.send_text_message(message.sender_id, f"{answer} {message.text}")
    if not again:
        raise RuntimeError("the tracker store is down")
"""
"""Each turn fails once, and then says something else."""
USERS = [f"u{n}" for n in range(5)]


async def test_a_turn_that_runs_again_and_differs_is_heard(
    project: Project, service: FakeService, port: int
) -> None:
    project.write("credentials.yml", f"rest:\n  timeout: 20\ncallback:\n  url: {service.url}\n")
    project.write("rerun.py", RERUN)
    refused: Counter[str] = Counter()

    def answer(call: Call) -> web.Response:
        """Accept a first paragraph only at the second call, after an outcome that is uncertain."""
        text = call.body["text"]
        refused[text] += 1
        again = refused[text] > 1
        return web.json_response({}, status=200 if again or "same" not in text else 500)

    service.answer = answer
    await asyncio.gather(
        project.webhook(port), project.worker("--handler", "rerun:handle"), project.deliver()
    )
    base = f"http://127.0.0.1:{port}/webhooks"
    async with aiohttp.ClientSession() as http:
        for user in USERS:
            body = {"sender": user, "message": "hi"}
            async with http.post(f"{base}/callback/webhook", json=body | {"message": user}) as got:
                assert got.status == 200
        async with http.post(f"{base}/rest/webhook", json=body | {"message": "rest"}) as got:
            assert [reply["text"] for reply in await got.json()] == [
                "same rest",
                "first rest",
                "second rest",
            ]
    for user in USERS:
        expected = [f"{which} {user}" for which in ("same", "first", "second")]
        await eventually(
            lambda user=user, expected=expected: service.texts(user) == expected,
            "the user reads everything",
        )
        calls = [call for call in service.calls if call.body["recipient_id"] == user]
        marked = [call.headers.get("X-Redelivered") == "true" for call in calls]
        assert marked == [False, True, False, True]
        keys = [call.headers["Idempotency-Key"] for call in calls]
        assert keys[0] == keys[1]
        assert len(set(keys)) == 3
        assert keys[2].rpartition("-")[0] == keys[3].rpartition("-")[0]
