"""Measures how much one conversation, or one recipient, delays the others. Asserts nothing.

    python -m tests.bench.fairness failing [--how raises slow hangs cancels rejects]
    python -m tests.bench.fairness refused [--how 500 429 400 stall down]
    python -m tests.bench.fairness paced   [--rounds 1]
    All: [--conversations 1] [--messages 500] [--rate 32] [--seconds 60] [--worker="--prefetch 30"]

All start a private broker and roles with default settings, but one partition for each flow, so that
no other partition hides a delay. `failing`: so many messages of each conversation arrive at once,
and fail in these ways in turn; `hangs` ends with the worker's `--turn-timeout`. `refused`: so many
replies to each recipient arrive at once, and the service refuses them; `down`: another channel's
service refuses connections. `paced`: so many replies to each of some chats of Telegram arrive at
once, and the limit of a chat is one a second. The others get `rate` messages a second. Prints how
long theirs take from sending to the call of the service: first undisturbed, then beside that.
`paced` does so in several rounds, and prints the most calls to a chat in a second, their smallest
distance, and whether they came in order.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from aiohttp import web

from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Topology
from bridge.messages import Reply
from tests.bench.recipients import percentiles
from tests.support.backlog import enqueue
from tests.support.broker import Broker, free_port, make_broker
from tests.support.fakes import a_reply
from tests.support.links import up
from tests.support.load import Load, entry
from tests.support.pacing import most_in, replies
from tests.support.processes import Project
from tests.support.service import FakeService, Trouble
from tests.support.waiting import eventually

HANDLER = """
import asyncio

from bridge.errors import MessageError

HOW = {how}


async def handle(message, output):
    await asyncio.sleep(0.02)
    if "fails" in message.text:
        how = HOW[int(message.text.rpartition("/")[2]) % len(HOW)]
        if how == "hangs":
            await asyncio.Event().wait()
        if how == "cancels":
            raise asyncio.CancelledError
        if how == "rejects":
            raise MessageError("not to be retried")
        if how == "slow":
            await asyncio.sleep(3)
        raise ValueError("down")
    await output.send_text_message(message.sender_id, message.text)
"""
Sent = list[tuple[Reply, float]]
WARM_UP = 5.0
CONVERSATIONS = 100
CHATS = 195
"""More than get a message within the pace of one chat."""


def show(name: str, waits: list[float]) -> None:
    p50, p99, most = percentiles(waits)
    text = f"p50 {p50:5.0f} ms  p99 {p99:5.0f} ms  max {most:5.0f} ms"
    print(f"{name:12} {text}  {len(waits)} messages", flush=True)


async def failing(broker: Broker, service: FakeService, options: argparse.Namespace) -> None:
    project = one_partition(broker, f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER.replace("{how}", repr(options.how or ["raises"])))
    number = options.conversations
    port = free_port()
    load = Load(project, service, [port])
    try:
        await asyncio.gather(
            project.webhook(port),
            project.worker("--handler", "handler:handle", *options.worker.split()),
            project.deliver(),
        )
        topology = Topology("bench", 1, 1, ("callback",))
        async with load.running(CONVERSATIONS, options.rate):
            await asyncio.sleep(WARM_UP)
            began = time.monotonic()
            await asyncio.sleep(options.seconds)
            middle = time.monotonic()
            every = options.messages * number
            await enqueue(
                broker.url, topology, every, conversations=number, name="f", text="fails {}"
            )
            await asyncio.sleep(options.seconds)
            ended = time.monotonic()
        await asyncio.sleep(WARM_UP)
        at = {entry(call.body["text"]): call.at for call in reversed(service.accepted)}
        now = time.monotonic()
        for name, since, until in (("undisturbed", began, middle), ("beside it", middle, ended)):
            sent = [(one, when) for one, when in load.began.items() if since <= when < until]
            show(name, [at.get(one, now) - when for one, when in sent])
    finally:
        project.close()


async def others(queues: Queues, name: str, channel: str, rate: float, seconds: float) -> Sent:
    """Put replies to many recipients; return them, and when each was put."""
    sent, began = [], time.monotonic()
    for number in range(round(rate * seconds)):
        text, chat = f"{name}/{number}", f"{1000 + number % CHATS}"
        reply = a_reply(f"{text}:0", channel=channel, recipient_id=chat, text=text)
        sent.append((reply, time.monotonic()))
        await queues.put_reply(reply)
        await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    return sent


async def beside(
    project: Project,
    service: FakeService,
    backlog: list[Reply],
    channels: tuple[str, ...],
    options: argparse.Namespace,
) -> list[Reply]:
    """Show how long the others' replies take, undisturbed and while a backlog arrives and waits.

    A part of the backlog arrives in each round. Return all replies, in the order of each recipient.
    """
    topology = Topology("bench", 1, 1, channels)
    publisher = Publisher(project.broker_url, "bench", topology)
    queues = Queues(publisher, topology)
    waits: dict[str, list[float]] = {"undisturbed": [], "beside it": []}
    every: list[Reply] = []
    each = len(backlog) // options.rounds
    try:
        await project.deliver()
        async with up(publisher):
            for number in range(options.rounds):
                for name, taken in waits.items():
                    arriving = backlog[number * each :][:each] if name == "beside it" else []
                    load = others(
                        queues, f"{name} {number}", channels[0], options.rate, options.seconds
                    )
                    loading = asyncio.ensure_future(load)
                    await asyncio.gather(*map(queues.put_reply, arriving))
                    sent = await loading
                    await asyncio.sleep(WARM_UP)
                    at = {call.body["text"]: call.at for call in reversed(service.accepted)}
                    now = time.monotonic()
                    taken += [at.get(reply.text, now) - when for reply, when in sent]
                    every += [*arriving, *(reply for reply, _ in sent)]
                    if options.what == "paced":  # the next round is undisturbed
                        await _calls(service, len(every), 2.0 * options.messages)
        for name, taken in waits.items():
            show(name, taken)
    finally:
        project.close()
    return every


async def _calls(service: FakeService, number: int, patience: float) -> None:
    await eventually(lambda: len(service.calls) >= number, "all are sent", patience)


async def paced(broker: Broker, service: FakeService, options: argparse.Namespace) -> None:
    service.answer = lambda call: web.json_response({"ok": True, "result": {}})
    settings = f"telegram:\n  access_token: '1:a'\n  api_url: {service.url}\n"
    project = one_partition(broker, settings)
    chats = [str(n) for n in range(1, options.conversations + 1)]
    backlog = replies(chats, options.messages * options.rounds, "telegram")
    sent = await beside(project, service, backlog, ("telegram",), options)
    times, texts, expected = defaultdict(list), defaultdict(list), defaultdict(list)
    for reply in sent:
        expected[reply.recipient_id].append(reply.text)
    for call in service.calls:
        times[str(call.body["chat_id"])].append(call.at)
        texts[str(call.body["chat_id"])].append(call.body["text"])
    most = max(map(most_in, times.values()))
    least = min(b - a for at in times.values() for a, b in itertools.pairwise(at))
    print(f"a chat: {most} calls in a second at most, {least:.2f} s apart at least, ", end="")
    print("in order" if texts == expected else "NOT IN ORDER")


async def refused(broker: Broker, service: FakeService, options: argparse.Namespace) -> None:
    how = options.how or ["500"]
    recipients = [str(n) for n in range(options.conversations)]
    refusals = [one for one in how if one != "down"] or ["500"]
    trouble = Trouble(dict(zip(recipients, itertools.cycle(refusals))))
    service.answer = trouble.answer
    down = f"http://127.0.0.1:{free_port()}/"
    project = one_partition(
        broker,
        f"callback:\n  url: {service.url}\nother:\n  channel: callback\n  url: {down}\n",
    )
    backlog = replies(recipients, options.messages, "other" if how == ["down"] else "callback")
    if "down" in how and how != ["down"]:
        backlog += replies(recipients, options.messages, "other")
    try:
        await beside(project, service, backlog, ("callback", "other"), options)
    finally:
        trouble.end()


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
        run = {"failing": failing, "refused": refused, "paced": paced}[options.what]
        await run(broker, service, options)
    finally:
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("failing", "refused", "paced"))
    parser.add_argument("--how", nargs="*", help="how messages fail")
    parser.add_argument("--conversations", type=int, default=1, help="that fail")
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--rate", type=float, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--worker", default="", help="further arguments of the worker")
    parser.add_argument("--rounds", type=int, default=1)
    asyncio.run(measure(parser.parse_args()))
