"""Measures what the trace costs per message, and how long a search takes. Asserts nothing.

    python -m tests.bench.trace [--messages 4000] [--hops 1000000]

Runs the parts that record and write hops, with the trace on and off in turns, and prints the CPU
time per message of each role. Then it searches a stream's batches for one message.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from bridge.runtime.work import Work
from bridge.telemetry import trace
from bridge.telemetry.trace.batch import Entries, Mark, encode
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.recorder import BATCH, Sender, process_hops
from bridge.telemetry.trace.search import Search
from bridge.telemetry.trace.story import story_of
from tests.support.fakes import a_reply, an_inbound

ANSWER = Work("", status=200, provider_id="wamid.1")


async def nothing(_: bytes, mark: Mark) -> None:
    """Publish nothing: what a publish costs is divided by the hops of a batch."""


def webhook(n: int) -> None:
    message = an_inbound(f"message {n}")
    trace.confirmed(message, trace.accepted(message), time.time())


def worker(n: int) -> None:
    message = an_inbound(f"message {n}")
    trace.begin(message, 1)
    trace.reply(a_reply(f"message {n}:0", in_reply_to=message.id))
    trace.turn(message, 0.1, 1)
    trace.settled(message, "handled")


def deliver(n: int) -> None:
    reply = a_reply(f"message {n}:0")
    trace.begin(reply, 1)
    trace.called(reply, time.time(), 0.1, None, ANSWER)
    trace.settled(reply, "handled")


async def cost(messages: int) -> None:
    sender = Sender("bench", nothing)
    for role in (webhook, worker, deliver):
        found: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(40):
            is_on = turn % 2 == 0
            process_hops.on(1 if is_on else 0)
            began = time.process_time()
            for n in range(messages // 20):
                role(n)
            await sender.flush()
            found[is_on].append((time.process_time() - began) / (messages // 20) * 1e6)
            process_hops.on(-1 if is_on else 0)
        on, off = (statistics.median(found[is_on]) for is_on in (True, False))
        print(f"{role.__name__:8} {on - off:5.1f} µs of CPU time per message ({off:.1f} without)")


def search(hops: int) -> None:
    recorded: list[Hop] = []
    kinds = ("accepted", "confirmed", "attempt", "reply", "turn", "settled", "attempt", "call")
    for n in range(hops):
        message = n // len(kinds)
        kind = kinds[n % len(kinds)]
        id, reply = f"wamid.{message:032}", f"wamid.{message:032}:0" if n % 8 in (3, 6, 7) else ""
        recorded.append(Hop(kind, 1.7e9 + n / 100, "callback", f"user-{message % 999}", id, reply))  # type: ignore[arg-type]
    bodies = [
        encode("worker bench:1:abcdef", Entries(recorded[n : n + BATCH]))
        for n in range(0, hops, BATCH)
    ]
    size = sum(map(len, bodies)) / 2**20
    for wanted in (f"wamid.{hops // 16:032}", "user-7", "unknown"):
        began = time.process_time()
        looked = Search(wanted)
        for body in bodies:
            looked.take(body)
        stories = [story_of(found) for found in looked.messages()]
        took = time.process_time() - began
        print(f"{wanted:40} {len(stories):4} messages in {took:.2f} s of {size:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--hops", type=int, default=1_000_000)
    options = parser.parse_args()
    asyncio.run(cost(options.messages))
    search(options.hops)
