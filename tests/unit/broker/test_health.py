"""When a connection counts as lost, with answers that come late or never."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.broker import alarm, health
from bridge.broker.health import STALE, Health
from tests.support.waiting import eventually

HEARTBEAT = 0.2


class Silent:
    """aio_pika's connection, and a channel of it, to a broker that answers no request."""

    async def channel(self) -> Silent:
        return self

    async def set_qos(self, prefetch_count: int) -> None:
        await asyncio.Event().wait()


class Watched:
    """A connection whose socket is read when the test says so."""

    def __init__(self) -> None:
        self.reads = 0
        self.health = Health(Silent(), None, HEARTBEAT, lambda: self.reads)
        self._watching = asyncio.ensure_future(self.health.watch())

    async def is_read_for(self, heartbeats: float) -> None:
        end = time.monotonic() + heartbeats * HEARTBEAT
        while time.monotonic() < end:
            self.reads += 1
            await asyncio.sleep(HEARTBEAT / 10)

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TICK", HEARTBEAT / 10)
    monkeypatch.setattr(alarm, "is_blocked", lambda _: False)


async def test_a_connection_on_which_something_arrives_is_alive_however_late_answers_are() -> None:
    watched = Watched()
    await watched.is_read_for(3 * STALE)
    assert watched.health.is_alive()
    await watched.close()


async def test_a_connection_on_which_nothing_arrives_is_lost() -> None:
    watched = Watched()
    await watched.is_read_for(1)
    await eventually(watched.health.lost.done, "the connection is lost")
    assert str(watched.health.lost.result()) == "the broker is silent"
    await watched.close()


async def test_what_waited_in_the_socket_during_a_pause_proves_nothing() -> None:
    watched = Watched()
    await watched.is_read_for(1)
    proven = watched.health._until
    time.sleep(1.5 * HEARTBEAT)  # noqa: ASYNC251 - the process stands still
    watched.reads += 1
    watched.health._listen()
    assert watched.health._until == proven
    await watched.close()
