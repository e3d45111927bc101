"""`socketio` over a real RabbitMQ: real webhook processes hold the sockets, `deliver` answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.amqp import connect
from bridge.errors import ServiceUnavailable
from bridge.links import Link, Publisher
from bridge.relay import RelayReceiver, RelaySender
from bridge.role import close
from bridge.topology import Topology
from tests.support.broker import Broker, free_port
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.sockets import client
from tests.support.waiting import eventually

pytestmark = [
    # Of Sanic 21.12's websockets.
    pytest.mark.filterwarnings("ignore:The explicit passing of coroutine objects"),
]


@pytest_asyncio.fixture
async def two(project: Project) -> list[str]:
    """The URLs of two webhook processes; a worker that echoes and a deliver run, too."""
    project.write("credentials.yml", "socketio:\n  session_persistence: true\n")
    project.write("echo.py", ECHO)
    ports = [free_port(), free_port()]

    async def webhook(port: int) -> Process:
        process = await project.webhook(port, "--grace", "1000")
        await process.prints("ready to pass on events")
        return process

    await asyncio.gather(
        *(webhook(port) for port in ports),
        project.worker("--handler", "echo:handle"),
        project.deliver(),
    )
    return [f"http://127.0.0.1:{port}" for port in ports]


async def test_a_reply_reaches_the_socket_whichever_process_holds_it(
    project: Project, two: list[str]
) -> None:
    for url in two:
        async with client(url) as it, client(two[0]) as other:
            await it.emit("session_request", {"session_id": "ada"})
            await it.hears(("session_confirm", "ada"))
            said = {"message": f"to {url}\n\nagain", "session_id": "ada"}
            assert await it.ask("user_uttered", said) is None
            heard = [{"text": f"to {url}"}, {"text": "again"}]
            await it.hears(*[("bot_uttered", data) for data in heard])
            assert not other.heard
    async with client(two[0]) as it:
        stopping = project.processes[0]
        stopping.terminate()
        await eventually(lambda: not it.io.connected)
        assert await stopping.ends() == 0
