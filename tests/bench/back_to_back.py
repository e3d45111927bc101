"""Measures how long four messages of one sender take if each turn takes half a second.

    python -m tests.bench.back_to_back

The turns alone take 2.0 s; the rest is the cost of queue and lanes. For comparison: in `rasa run`,
where the lock store polls, four such messages take about 3.5 s. Asserts nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.support.broker import free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

MESSAGES = 4
HANDLER = """
import asyncio


async def handle(message, output):
    await asyncio.sleep(0.5)
    await output.send_text_message(message.sender_id, message.text)
"""


async def measure() -> None:
    broker = make_broker()
    service = FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("slow.py", HANDLER)
        port = free_port()
        await asyncio.gather(
            project.webhook(port), project.worker("--handler", "slow:handle"), project.deliver()
        )
        url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
        async with aiohttp.ClientSession() as http:
            for run in range(3):
                began = time.monotonic()
                for n in range(MESSAGES):
                    body = {"sender": "anna", "message": str(n)}
                    async with http.post(url, json=body) as response:
                        assert response.status == 200
                answered = (run + 1) * MESSAGES
                await eventually(lambda n=answered: len(service.accepted) == n)
                took = service.accepted[-1].at - began
                print(f"{MESSAGES} turns of 0.5 s, one sender: {took:.2f} s")
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    asyncio.run(measure())
