"""Measures how much one conversation, or one recipient, delays the others. Asserts nothing.

    python -m tests.bench.fairness failing [--messages 500] [--rate 32] [--seconds 60]
    python -m tests.bench.fairness paced   [--messages 500] [--rate 32] [--seconds 60]

Both start a private broker and roles with default settings, but one partition for each flow, so
that no other partition hides a delay. `failing`: so many messages of one conversation arrive
at once, and fail. `paced`: so many replies to one chat of Telegram wait, and the limit of that chat
is one a second. The others get `rate` messages a second. Prints how long theirs take from sending
to the call of the service: first undisturbed, then beside that.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from aiohttp import web

from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Topology
from tests.bench.recipients import percentiles
from tests.support.backlog import enqueue
from tests.support.broker import Broker, free_port, make_broker
from tests.support.fakes import a_reply
from tests.support.links import up
from tests.support.load import Load, entry
from tests.support.pacing import replies
from tests.support.processes import Project
from tests.support.service import FakeService

STALLED = "c0"
"""The conversation of `backlog.enqueue`."""
HANDLER = """
import asyncio

async def handle(message, output):
    await asyncio.sleep(0.02)
    if "fails" in message.text:
        raise ValueError("down")
    await output.send_text_message(message.sender_id, message.text)
"""
WARM_UP = 5.0
CONVERSATIONS = 100
CHATS = 400
"""More than get a message within the pace of one chat."""


def show(name: str, waits: list[float]) -> None:
    p50, p99, most = percentiles(waits)
    text = f"p50 {p50:5.0f} ms  p99 {p99:5.0f} ms  max {most:5.0f} ms"
    print(f"{name:12} {text}  {len(waits)} messages", flush=True)


async def failing(
    broker: Broker, service: FakeService, messages: int, rate: float, seconds: float
) -> None:
    project = one_partition(broker, f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    port = free_port()
    load = Load(project, service, [port])
    try:
        await asyncio.gather(
            project.webhook(port),
            project.worker("--handler", "handler:handle"),
            project.deliver(),
        )
        topology = Topology("bench", 1, 1, ("callback",))
        # Not the conversation that fails.
        async with load.running(CONVERSATIONS, rate):
            await asyncio.sleep(WARM_UP)
            began = time.monotonic()
            await asyncio.sleep(seconds)
            middle = time.monotonic()
            await enqueue(broker.url, topology, messages, conversations=1, text="fails {}")
            await asyncio.sleep(seconds)
            ended = time.monotonic()
        await asyncio.sleep(WARM_UP)
        at = {entry(call.body["text"]): call.at for call in reversed(service.accepted)}
        now = time.monotonic()
        for name, since, until in (("undisturbed", began, middle), ("beside it", middle, ended)):
            sent = [(one, when) for one, when in load.began.items() if since <= when < until]
            others = [(one, when) for one, when in sent if one.conversation != STALLED]
            show(name, [at.get(one, now) - when for one, when in others])
    finally:
        project.close()


async def paced(
    broker: Broker, service: FakeService, messages: int, rate: float, seconds: float
) -> None:
    service.answer = lambda call: web.json_response({"ok": True, "result": {}})
    settings = f"telegram:\n  access_token: '1:a'\n  api_url: {service.url}\n"
    project = one_partition(broker, settings)
    topology = Topology("bench", 1, 1, ("telegram",))
    publisher = Publisher(broker.url, "bench", topology)
    queues = Queues(publisher, topology)

    async def others(name: str) -> dict[str, float]:
        sent, began = {}, time.monotonic()
        for number in range(round(rate * seconds)):
            text, chat = f"{name}/{number}", f"{1000 + number % CHATS}"
            reply = a_reply(f"{text}:0", channel="telegram", recipient_id=chat, text=text)
            sent[text] = time.monotonic()
            await queues.put_reply(reply)
            await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
        return sent

    try:
        await project.deliver()
        async with up(publisher):
            for name in ("undisturbed", "beside it"):
                if name == "beside it":
                    backlog = replies(["1"], messages, "telegram")
                    await asyncio.gather(*map(queues.put_reply, backlog))
                sent = await others(name)
                await asyncio.sleep(WARM_UP)
                at = {call.body["text"]: call.at for call in reversed(service.accepted)}
                now = time.monotonic()
                show(name, [at.get(text, now) - when for text, when in sent.items()])
    finally:
        project.close()


def one_partition(broker: Broker, credentials: str) -> Project:
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write(
        "endpoints.yml", endpoints.replace("inbound: 4, replies: 2", "inbound: 1, replies: 1")
    )
    project.write("credentials.yml", credentials)
    return project


async def measure(options: argparse.Namespace) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    try:
        run = failing if options.what == "failing" else paced
        await run(broker, service, options.messages, options.rate, options.seconds)
    finally:
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("failing", "paced"))
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--rate", type=float, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    asyncio.run(measure(parser.parse_args()))
