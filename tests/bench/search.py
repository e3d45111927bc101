"""Measures how long `rasa-bridge trace` looks for a message in a real stream. Asserts nothing.

    python -m tests.bench.search [--batches 20000] [--hops 4]

Starts a private broker and writes batches of a few hops one by one, so that each is a chunk of the
stream, as several processes with little to do write them. Then it searches for the latest message,
the earliest one, an id that a service gave, and an unknown one; the latter also through aiormq.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path.tap import AMQP, LIBRARY
from bridge.broker.stream import KEY, trace_stream
from bridge.broker.topology import Topology
from bridge.monitor.tracing import find_stories
from bridge.telemetry.trace.batch import encode
from bridge.telemetry.trace.hop import Hop
from tests.support.broker import make_broker

KINDS = ("accepted", "confirmed", "attempt", "turn", "settled")


def batch(number: int, hops: int) -> bytes:
    """Return a batch of one message, as one process writes it."""
    id, at = f"wamid.{number:032}", time.time()
    call = Hop("call", at, "callback", "ada", id, f"{id}:0", provider_id=f"out.{number:032}")
    found = [Hop(kind, at, "callback", f"user-{number % 999}", id) for kind in KINDS[: hops - 1]]  # type: ignore[arg-type]
    return encode("worker bench:1:abcdef", [*found, call])


async def measure(batches: int, hops: int) -> None:
    broker = make_broker()
    broker.start()
    topology = Topology("bench", 4, 2, ("callback",))
    try:
        async with connect(broker.url, "bench") as connection:
            await ensure_topology(connection, topology)
            stream = trace_stream(topology)
            await connection.declare((), [stream], passive=False)
            await asyncio.sleep(3)
            channel = await connection.confirm_channel()
            for number in range(batches):
                await channel.publish(
                    *(stream.exchange, KEY, batch(number, hops)),
                    **{"kind": KEY, "message_id": "bench", "timeout": 10},  # type: ignore[arg-type]
                )
        print(f"{batches:,} batches of {hops} hops", flush=True)
        last = f"{batches - 1:032}"
        for wanted in (f"wamid.{last}", f"wamid.{0:032}", f"out.{last}", "unknown", LIBRARY):
            if wanted == LIBRARY:
                os.environ[AMQP] = LIBRARY
            began, spent = time.monotonic(), time.process_time()
            async with connect(broker.url, "bench") as connection:
                stories = await find_stories(connection, topology, wanted)
            took, spent = time.monotonic() - began, time.process_time() - spent
            print(f"{wanted:40} {len(stories)} found in {took:.2f} s, {spent:.2f} s of CPU time")
    finally:
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batches", type=int, default=20_000)
    parser.add_argument("--hops", type=int, default=4)
    options = parser.parse_args()
    asyncio.run(measure(options.batches, options.hops))
