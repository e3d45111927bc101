"""`socketio` with a real RabbitMQ: webhook processes hold the sockets, `deliver` answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.broker.links import Link
from bridge.broker.publisher import Publisher
from bridge.broker.relay import RelayReceiver, RelaySender
from bridge.broker.topology import Topology
from bridge.errors import ServiceUnavailable
from bridge.runtime.role import close
from tests.support.broker import Broker, free_port
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.sockets import Client, client
from tests.support.waiting import eventually


async def test_a_reply_reaches_the_socket_in_whichever_process_it_is(project: Project) -> None:
    project.write("credentials.yml", "socketio:\n  session_persistence: true\n")
    project.write("echo.py", ECHO)

    async def webhook() -> tuple[Process, str]:
        port = free_port()
        process = await project.webhook(port, "--grace", "1000")
        await process.prints("receiving events for sockets")
        return process, f"http://127.0.0.1:{port}"

    (first, url), (_, other_url), *_ = await asyncio.gather(
        webhook(),
        webhook(),
        project.worker("--handler", "echo:handle"),
        project.deliver(),
    )
    async with client(url) as it, client(other_url) as other:
        for n, (speaking, silent) in enumerate([(it, other), (other, it)]):
            # A session follows its client from one process to the other.
            await speaking.emit("session_request", {"session_id": "ada"})
            await speaking.hears(("session_confirm", "ada"))
            said = {"message": f"{n}\n\nagain", "session_id": "ada"}
            assert await speaking.ask("user_uttered", said) is None
            await speaking.hears(*[("bot_uttered", {"text": t}) for t in (f"{n}", "again")])
            silent.heard.clear()
        polling = Client()
        await polling.connect(url, "polling")
        first.terminate()
        # It disconnects its clients instead of waiting for them.
        assert await first.ends() == 0
        await eventually(lambda: it.ended and polling.ended)
        assert polling.ended == [polling.io.reason.SERVER_DISCONNECT]
        assert "ERROR" not in first.log, first.log
        assert first.log.count("enqueued  channel=socketio inbound=") == 1, first.log
        said = {"message": "and now", "session_id": "ada"}
        assert await other.ask("user_uttered", said) is None
        await other.hears(("bot_uttered", {"text": "and now"}))


@asynccontextmanager
async def up(*links: Link) -> AsyncIterator[None]:
    running = [asyncio.ensure_future(link.run()) for link in links]
    try:
        for link in links:
            await asyncio.wait_for(link.ready.wait(), 60)
        yield
    finally:
        await close(running)


async def test_an_event_sent_twice_reaches_each_process_of_its_channel_once(
    broker: Broker, namespace: str
) -> None:
    topology = Topology(namespace, 1, 1, ("chat", "shop"), sockets=True)
    publisher = Publisher(broker.url, "deliver", topology)
    chat, again, shop = (
        RelayReceiver(broker.url, process, topology, channel)
        for process, channel in [("1", "chat"), ("2", "chat"), ("1", "shop")]
    )
    sender = RelaySender(publisher, topology, "chat")
    async with up(publisher):
        with pytest.raises(ServiceUnavailable, match="no webhook process"):
            await sender.send("0", b"{}")
        async with up(chat, again, shop):
            for id in ("1", "1", "2"):
                await sender.send(id, b"{%s}" % id.encode())
            await RelaySender(publisher, topology, "shop").send("3", b"{3}")
            arrived = [chat.events(), again.events(), shop.events()]
            for events in arrived[:2]:
                assert [await anext(events), await anext(events)] == [b"{1}", b"{2}"]
            assert await anext(arrived[2]) == b"{3}"


async def test_an_event_waits_for_a_disconnected_process_and_survives_a_broker_restart(
    own_broker: Broker, namespace: str
) -> None:
    topology = Topology(namespace, 1, 1, ("chat",), sockets=True)
    publisher = Publisher(own_broker.url, "deliver", topology)
    sender = RelaySender(publisher, topology, "chat")
    receiver = RelayReceiver(own_broker.url, "1", topology, "chat")
    async with up(publisher):
        assert not receiver.receives
        async with up(receiver):
            assert receiver.receives
        await sender.send("1", b"{cut off}")
        await asyncio.to_thread(own_broker.stop)
        with pytest.raises(ServiceUnavailable):
            await sender.send("2", b"{down}")
        await asyncio.to_thread(own_broker.start)
        await eventually(publisher.ready.is_set)
        await sender.send("3", b"{still cut off}")
        async with up(receiver):
            events = receiver.events()
            assert [await anext(events), await anext(events)] == [
                b"{cut off}",
                b"{still cut off}",
            ]
