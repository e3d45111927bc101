"""A search reads the stream on the fast path, or through aiormq: the result is the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path.tap import AMQP, LIBRARY
from bridge.broker.stream import FILTER, KEY, trace_stream
from bridge.broker.stream_reading import Place, read_stream
from bridge.broker.topology import Topology
from bridge.monitor import tracing
from bridge.telemetry.trace.batch import FIRST, WHOLE, Entries, encode, together
from bridge.telemetry.trace.hop import Hop
from tests.support.broker import Broker
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = 1_700_000_000.0
BATCHES = 1200
"""More than the broker sends without an ack."""


def batch(number: int) -> bytes:
    """Return the hops of a message: it came in, and its reply was sent."""
    id = f"m{number}"
    accepted = Hop("accepted", T + number, "callback", f"u{number % 7}", id)
    sent = Hop("call", T + number + 1, "callback", "", id, f"{id}:0", provider_id=f"p{number}")
    return encode("worker a:1:b", Entries([accepted, sent]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stream(broker: Broker) -> AsyncIterator[tuple[Broker, Topology]]:
    topology = Topology("search", 1, 1, ())
    async with connect(broker.url, "test") as connection:
        await ensure_topology(connection, topology)
        declared = trace_stream(topology)
        await connection.declare((), [declared], passive=False)
        channel = await connection.confirm_channel()
        key, more = (declared.exchange, KEY), {"kind": KEY, "message_id": "test"}
        for start in range(0, BATCHES, 300):
            await asyncio.gather(
                *(
                    channel.publish(*key, batch(n), **more, timeout=30)  # type: ignore[arg-type]
                    for n in range(start, start + 300)
                )
            )
        yield broker, topology
        await connection.delete(queue=declared.name)


async def found(connection: Connection, topology: Topology, wanted: str) -> list[str]:
    stories, _ = await tracing.find_stories(connection, topology, wanted)
    return [story.id for story in stories]


@pytest.mark.parametrize("way", ["fast", LIBRARY])
@pytest.mark.parametrize("memory", [tracing.IN_MEMORY, 0])
async def test_a_message_is_found_by_any_id(
    stream: tuple[Broker, Topology], way: str, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, topology = stream
    monkeypatch.setenv(AMQP, way)
    monkeypatch.setattr(tracing, "IN_MEMORY", memory)
    async with connect(broker.url, "test") as connection:
        for wanted in ("m0", f"m{BATCHES - 1}", "m77:0"):
            assert await found(connection, topology, wanted) == [wanted.partition(":")[0]]
        assert await found(connection, topology, "p5") == ["m5"]
        assert len(await found(connection, topology, "u3")) == len(range(3, BATCHES, 7))
        assert await found(connection, topology, "p") == []


async def test_a_search_tells_how_far_it_is(stream: tuple[Broker, Topology]) -> None:
    broker, topology = stream
    told: list[tuple[int, ...]] = []
    async with connect(broker.url, "test") as connection:
        searching = tracing.find_stories(
            connection, topology, "nothing", progress=lambda *done: told.append(done)
        )
        stories, since = await searching
        assert stories == []
        assert 0 < time.time() - since < 600
    assert told == [(1, BATCHES, 0), (1001, BATCHES, 0)]


@pytest.mark.parametrize("way", ["fast", LIBRARY])
async def test_a_part_of_the_stream_is_read_whole_and_once(
    stream: tuple[Broker, Topology], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, topology = stream
    monkeypatch.setenv(AMQP, way)
    bodies: list[bytes] = []

    async def read_all() -> bool:
        bodies.clear()
        async with connect(broker.url, "test") as connection:
            assert await read_stream(connection, topology, bodies.append) == Place(0, None)
        return len(bodies) >= BATCHES

    await eventually(read_all)
    assert bodies == [batch(n) for n in range(BATCHES)]
    async with connect(broker.url, "test") as connection:
        bodies.clear()
        before = Place(500, None)
        first = await read_stream(connection, topology, bodies.append, before=before)
        assert first == Place(0, None)
    assert bodies == [batch(n) for n in range(500)]


KILLED = 33
"""The only batch of a process that was killed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["", "earlier version"])
async def sparse(
    broker: Broker, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Broker, Topology, bool]]:
    """A stream with batches that were written again together, except those of a killed process.

    Processes of an earlier version do not mark the first one.
    """
    topology = Topology(f"sparse{request.param[:1]}", 1, 1, ())
    async with connect(broker.url, "test") as connection:
        await ensure_topology(connection, topology)
        declared = trace_stream(topology)
        await connection.declare((), [declared], passive=False)
        channel = await connection.confirm_channel()

        async def write(body: bytes, mark: str) -> None:
            key, more = (declared.exchange, KEY), {"kind": KEY, "message_id": "test"}
            headers = {FILTER: mark}
            await channel.publish(*key, body, **more, headers=headers, timeout=30)

        for start in range(0, 60, 20):
            for number in range(start, start + 20):
                is_first = number in (start, KILLED) and not request.param
                await write(batch(number), FIRST if is_first else f"{number}")
            kept = [batch(number) for number in range(start, start + 20) if number != KILLED]
            await write(together(kept), WHOLE)
        yield broker, topology, not request.param
        await connection.delete(queue=declared.name)


@pytest.mark.parametrize("way", ["fast", LIBRARY])
async def test_a_reader_passes_over_batches_that_were_written_again(
    sparse: tuple[Broker, Topology, bool], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, topology, are_marked = sparse
    monkeypatch.setenv(AMQP, way)
    async with connect(broker.url, "test") as connection:
        places = (Place(62, WHOLE), 2, 4), (Place(61, "59"), 2, 4), (Place(21, "20"), 1, 1)
        for before, whole, first in places:
            bodies: list[bytes] = []
            await read_stream(connection, topology, bodies.append, before=before, only_whole=True)
            # Batches of one chunk come together. Each of these was confirmed before the next one.
            assert len([body for body in bodies if b"\n" in body]) == whole, before
            assert len(bodies) == whole + (first if are_marked else 0), before


async def test_what_a_killed_process_has_written_once_is_found_too(
    sparse: tuple[Broker, Topology, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, topology, _ = sparse
    monkeypatch.setattr(tracing, "RECENT", -60.0)  # everything is older
    async with connect(broker.url, "test") as connection:
        for wanted in ("m0", "m33", "m33:0", "p33", "m59"):
            stories, _ = await tracing.find_stories(connection, topology, wanted)
            assert [story.id for story in stories] == [wanted.partition(":")[0].replace("p", "m")]
            assert {row.name for row in stories[0].rows} >= {"accepted", "call 1"}
