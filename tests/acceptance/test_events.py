"""Events that arrive more than once, and several messages of one sender in quick succession."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.support.system import System
from tests.support.waiting import eventually

HANDLER = """
import asyncio


def note(text):
    with open("turns.log", "a") as log:
        print(text, file=log)


async def handle(message, output):
    note(f"{message.text} began")
    await asyncio.sleep(0.5)
    await output.send_text_message(message.sender_id, message.text)
    note(f"{message.text} ended")
"""


async def say(http: aiohttp.ClientSession, port: int, text: str, id: str) -> None:
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
    body = {"sender": "anna", "message": text, "message_id": id}
    async with http.post(url, json=body) as response:
        assert response.status == 200


async def test_an_event_sent_to_several_webhook_processes_runs_one_turn(
    system: System, http: aiohttp.ClientSession
) -> None:
    system.project.write("handler.py", HANDLER)
    await system.start(workers=2)
    service = system.load.service
    one, other = system.ports
    await asyncio.gather(*(say(http, port, "hi", "event-1") for port in (one, other, one, other)))
    await eventually(lambda: service.texts("anna") == ["hi"])
    # A late retry, after the event was answered.
    await say(http, other, "hi", "event-1")
    await say(http, one, "bye", "event-2")
    await eventually(lambda: "bye" in service.texts("anna"))
    assert service.texts("anna") == ["hi", "bye"]
    # A reply may be delivered before its turn ends.
    log = system.project.directory / "turns.log"
    await eventually(lambda: "bye ended" in log.read_text())
    assert log.read_text().splitlines() == ["hi began", "hi ended", "bye began", "bye ended"]


async def test_messages_of_one_sender_run_one_after_another(
    system: System, http: aiohttp.ClientSession
) -> None:
    """`python -m tests.bench.back_to_back` measures how long they take."""
    system.project.write("handler.py", HANDLER)
    await system.start(workers=2)
    for n in range(4):
        await say(http, system.ports[n % 2], f"m{n}", f"event-{n}")
    await eventually(lambda: len(system.load.service.texts("anna")) == 4)
    log = system.project.directory / "turns.log"
    await eventually(lambda: "m3 ended" in log.read_text())
    turns = log.read_text().splitlines()
    assert turns == [f"m{n} {what}" for n in range(4) for what in ("began", "ended")]
