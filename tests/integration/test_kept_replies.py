"""`socketio`: replies for a client that is away are kept, and sent when it returns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.broker import relay
from bridge.broker.publisher import Publisher
from bridge.broker.relay import RelayReceiver, RelaySender
from bridge.broker.seen import Seen
from bridge.broker.topology import Topology
from tests.integration.test_socketio import up
from tests.support.broker import Broker, free_port
from tests.support.processes import Process, Project
from tests.support.sockets import Client, client
from tests.support.waiting import eventually

BOT = """
import asyncio, pathlib

async def handle(message, output):
    await asyncio.to_thread(wait)
    for text in ("one", "two"):
        await output.send_text_message(message.sender_id, text)

def wait():
    import time
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
"""


async def started(project: Project, settings: str) -> tuple[list[str], Process, Process]:
    """Start two webhooks, a worker and deliver; return the URLs, and the last two."""
    project.write("credentials.yml", f"socketio:\n  session_persistence: true\n{settings}")
    project.write("bot.py", BOT)
    ports = [free_port(), free_port()]
    *_, worker, deliver = await asyncio.gather(
        *(project.webhook(port) for port in ports),
        project.worker("--handler", "bot:handle"),
        project.deliver(),
    )
    return [f"http://127.0.0.1:{port}" for port in ports], worker, deliver


async def join(it: Client) -> None:
    await it.emit("session_request", {"session_id": "ada"})
    await it.hears(("session_confirm", "ada"))


async def say_and_leave(url: str) -> None:
    async with client(url) as it:
        await join(it)
        assert await it.ask("user_uttered", {"message": "hi", "session_id": "ada"}) is None


def go(project: Project) -> None:
    Path(project.directory, "go").touch()


async def test_a_client_that_returns_to_any_process_hears_what_it_missed_once_and_in_order(
    project: Project,
) -> None:
    (one, other), worker, deliver = await started(project, "")
    await say_and_leave(one)
    go(project)
    await worker.prints("turn took")
    async with client(other) as it:
        # Connected, but in no session yet.
        await it.emit("session_request", {"session_id": "someone else"})
        await it.hears(("session_confirm", "someone else"))
        await join(it)
        said = [("bot_uttered", {"text": text}) for text in ("one", "two")]
        await it.hears(*said)
        # A client that is there is answered at once, and nothing comes twice.
        assert await it.ask("user_uttered", {"message": "hi", "session_id": "ada"}) is None
        await it.hears(*said)
    assert "dropped" not in deliver.log
    assert "attempt failed" not in deliver.log


async def test_replies_are_dropped_and_counted_once_their_client_stays_away(
    project: Project,
) -> None:
    (one, _), _, deliver = await started(project, "  keep_replies: 0.5\n")
    await say_and_leave(one)
    go(project)
    await deliver.prints("reply dropped: its client is away", count=2)
    async with client(one) as it:
        await join(it)
        assert await it.ask("user_uttered", {"message": "hi", "session_id": "ada"}) is None
        await it.hears(*[("bot_uttered", {"text": text}) for text in ("one", "two")])
    assert deliver.log.count("reply dropped") == 2


async def test_without_keeping_nothing_waits(project: Project) -> None:
    (one, _), worker, deliver = await started(project, "  keep_replies: 0\n")
    await say_and_leave(one)
    go(project)
    await worker.prints("turn took")
    async with client(one) as it:
        await it.emit("session_request", {"session_id": "ada"})
        # A reply that is still under way finds the client back.
        await eventually(lambda: ("session_confirm", "ada") in it.heard)
        assert await it.ask("user_uttered", {"message": "hi", "session_id": "ada"}) is None
        await eventually(lambda: ("bot_uttered", {"text": "two"}) in it.heard)
    assert "hearing which replies reach a client" not in deliver.log
    assert "dropped" not in deliver.log


async def test_an_event_is_repeated_until_a_process_has_passed_it_on(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "PING_SECONDS", 60.0)
    topology = Topology(namespace, 1, 1, ("chat",), sockets=True)
    publisher = Publisher(broker.url, "both", topology)
    seen = Seen(broker.url, "deliver", topology, "chat")
    answer = publisher.unconfirmed.publish
    receiver = RelayReceiver(broker.url, "webhook", topology, "chat", answer)
    sender = RelaySender(publisher, topology, "chat", seen)
    passed_on = []

    async def receive(holds: list[bool]) -> None:
        async for event in receiver.events():
            receiver.reached = holds.pop(0)
            passed_on.append((event, receiver.reached))

    async with up(publisher, seen, receiver):
        receiving = asyncio.ensure_future(receive([False, True, True]))
        assert not await sender.send("1", b"{one}", awaited=True)
        await eventually(lambda: sender.send("1", b"{one}", awaited=True))
        for _ in range(3):
            assert await sender.send("1", b"{one}", awaited=True)
        await eventually(lambda: sender.send("2", b"{two}", awaited=True))
        receiving.cancel()
    assert passed_on == [(b"{one}", False), (b"{one}", True), (b"{two}", True)]


async def test_processes_of_an_earlier_version_count_as_receivers(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "PING_SECONDS", 0.2)
    topology = Topology(namespace, 1, 1, ("chat",), sockets=True)
    publisher = Publisher(broker.url, "deliver", topology)
    seen = Seen(broker.url, "deliver", topology, "chat")
    silent = RelayReceiver(broker.url, "webhook", topology, "chat")
    sender = RelaySender(publisher, topology, "chat", seen)
    async with up(publisher, seen, silent):
        for id in "123":
            assert await sender.send(id, b"{event}", awaited=True)
    assert not seen.is_answered
