"""Six users ask two questions each, all at once. Prints the answers as they arrive."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import Any

import aiohttp
from aiohttp import web

WEBHOOK = "http://127.0.0.1:5005/webhooks/callback/webhook"
COUNTS = "http://127.0.0.1:8091/counts"
PORT = 8090
USERS = ("ada", "ben", "cleo", "dan", "eve", "finn")
LONGEST_WAIT = 100.0
"""Seconds to wait for all answers."""


def questions(user: str) -> list[str]:
    """Return the two questions of a user."""
    return [f"{'a long ' if user == 'eve' else ''}question 1 of {user}", f"question 2 of {user}"]


async def ask(http: aiohttp.ClientSession, run: str) -> float:
    """Send every user's questions; return the longest time until a message was acknowledged."""
    slowest = 0.0
    for number in (0, 1):
        for user in USERS:
            began = time.perf_counter()
            body = {"sender": f"{user}-{run}", "message": questions(user)[number]}
            async with http.post(WEBHOOK, json=body) as answer:
                answer.raise_for_status()
            slowest = max(slowest, time.perf_counter() - began)
    return slowest


async def main() -> int:
    run = uuid.uuid4().hex[:6]  # new conversations for each run
    replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        replies.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/replies", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    answers: dict[str, list[str]] = {user: [] for user in USERS}
    async with aiohttp.ClientSession() as http:
        began = time.perf_counter()
        slowest = await ask(http, run)
        total = 2 * len(USERS)
        print(f"acknowledged {total} messages; the slowest took {slowest * 1000:.0f} ms")
        for _ in range(total):
            reply = await asyncio.wait_for(replies.get(), LONGEST_WAIT)
            user = reply["recipient_id"].removesuffix(f"-{run}")
            answers[user].append(reply["text"])
            print(f"{time.perf_counter() - began:6.1f} s  {user:<6} {reply['text']}")
        seconds = time.perf_counter() - began
        async with http.get(COUNTS) as response:
            counts = await response.json()
    await runner.cleanup()
    in_order = all(
        [text.partition(":")[0] for text in answers[user]]
        == [f"Answer to {question}" for question in questions(user)]
        for user in USERS
    )
    order = "in each user's order" if in_order else "NOT in each user's order"
    print(f"{total} answers in {seconds:.1f} s, {order}; one at a time they take 28 s")
    print(
        f"The backend generated {counts['generated']} answers, refused {counts['refused']} requests"
        f" (429), and resumed {counts['resumed']} after a timeout."
    )
    return 0 if in_order else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
