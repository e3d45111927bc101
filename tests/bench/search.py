"""Measures how long `rasa-bridge trace` looks for a message in a real stream. Asserts nothing.

    python -m tests.bench.search [--batches 20000]

Starts a private broker and writes small batches one by one, so that each is a chunk of the stream:
those of three processes that have a message a second. The batches of 300 seconds are then written
again together, as the processes do. Then it searches for messages as if all were older than ten
minutes: by each kind of id, and for an unknown one, the latter once more through aiormq.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path.tap import AMQP, LIBRARY
from bridge.broker.stream import FILTER, KEY, trace_stream
from bridge.broker.topology import Topology
from bridge.monitor import tracing
from bridge.telemetry.trace.batch import FIRST, WHOLE, Entries, encode, together
from bridge.telemetry.trace.records import Enqueued
from tests.bench import cpu
from tests.support.broker import make_broker

EVERY = 300
"""Batches that a process writes again together."""


def batch(number: int) -> bytes:
    """Return what one of the three processes writes about a message."""
    n, at = number // 3, time.time()
    conversation, id = f"user-{n % 999}", f"wamid.{n:032}"
    ids = "callback", conversation, id
    called = [*ids, f"{id}:0", 1, at, at, "handled", at, 0.01, "", 200, f"out.{n:032}"]
    turned = [*ids, 1, at, at, "handled", at, 0.01, 1, at, "text", f"{id}:0", ""]
    entries = (
        Entries(enqueued=[Enqueued(*ids, at, at)]),
        Entries(turned=[turned]),
        Entries(called=[called]),
    )[number % 3]
    return encode(f"{('webhook', 'worker', 'deliver')[number % 3]} bench:1:abcdef", entries)


async def fill(connection: Connection, topology: Topology, batches: int) -> None:
    await ensure_topology(connection, topology)
    stream = trace_stream(topology)
    await connection.declare((), [stream], passive=False)
    await asyncio.sleep(3)
    channel = await connection.confirm_channel()
    written: tuple[list[bytes], ...] = ([], [], [])

    async def write(body: bytes, mark: str) -> None:
        key, more = (stream.exchange, KEY), {"kind": KEY, "message_id": "bench"}
        await channel.publish(*key, body, **more, headers={FILTER: mark}, timeout=10)

    for number in range(batches):
        body, others = batch(number), written[number % 3]
        await write(body, f"{number // 180}" if others else FIRST)
        others.append(body)
        if number % (3 * EVERY) == 3 * EVERY - 1 or number == batches - 1:
            for bodies in written:
                await write(together(bodies), WHOLE)
                bodies.clear()


async def measure(batches: int) -> None:
    broker = make_broker()
    broker.start()
    topology = Topology("bench", 4, 2, ("callback",))
    tracing.RECENT = 0.0
    try:
        async with connect(broker.url, "bench") as connection:
            await fill(connection, topology, batches)
        print(f"{batches:,} batches", flush=True)
        await asyncio.sleep(3)
        old, new = (f"{n:032}" for n in (1, batches // 3 - 1))
        ids = (f"wamid.{new}", f"wamid.{old}", f"wamid.{old}:0", f"out.{old}", "user-1", "unknown")
        for wanted in (*ids, LIBRARY):
            if wanted == LIBRARY:
                os.environ[AMQP] = LIBRARY
            began, spent = time.monotonic(), time.process_time()
            rabbit = cpu.used({}, broker).get("broker", 0.0)
            async with connect(broker.url, "bench") as connection:
                stories, _ = await tracing.find_stories(connection, topology, wanted)
            took, spent = time.monotonic() - began, time.process_time() - spent
            rabbit = cpu.used({}, broker).get("broker", 0.0) - rabbit
            print(
                f"{wanted:40} {len(stories):4} found in {took:5.2f} s; CPU time: {spent:.2f} s,"
                f" RabbitMQ {rabbit:.2f} s",
                flush=True,
            )
    finally:
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batches", type=int, default=20_000)
    options = parser.parse_args()
    asyncio.run(measure(options.batches))
