"""Measures what a worker does in Python for each message, beside another version. Asserts nothing.

    python -m tests.bench.worker_layers [--beside TREE] [--without fairness] [--pairs 40]
    python -m tests.bench.worker_layers --calls

The worker echoes messages that a broker in its process delivers and confirms, over the frames of
the fast path: so there is no socket, no RabbitMQ and no other role. `--beside` names the root of
another tree, such as a worktree of main, and `--without` compares with parts replaced as in
`tests.bench.plain`: fairness, or one part of it, such as locks. Slices of both sides alternate,
each in a process for itself, so that other work disturbs both alike. Prints the CPU time per
message, and the median and quartiles of the ratio of neighbours. `--calls` counts the calls of
functions per message instead, which no other work disturbs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import IO, Any

SLICE = 200
"""Messages of a slice."""
SENDERS = 20
"""Conversations, each with one message at a time."""
AT_ONCE = 3
"""Messages, or confirms, that arrive in one pass of the event loop."""
PREFETCH = 64
ACKED, PUBLISHED = b"\0\x3c\0\x50", b"\0\x3c\0\x28"
"""Class and method of what a worker sends."""
CONSUMING, PUBLISHING = 1, 2
"""Channels."""


class Loopback:
    """A transport behind which a broker delivers, confirms, and waits for acks."""

    def __init__(self) -> None:
        self.tap: Any = None
        self.consumer = b""
        self._loop = asyncio.get_running_loop()
        self._left = 0
        """Messages to be delivered,"""
        self._unacked: set[int] = set()
        """and the tags of those that are unacked."""
        self._tag = self._confirmed = self._unconfirmed = 0
        self._is_awake = False
        self.idle: asyncio.Future[None] = self._loop.create_future()
        self._messages: deque[bytes] = deque()

    def is_closing(self) -> bool:
        return False

    def get_protocol(self) -> None: ...

    def write(self, data: bytes) -> None:
        from bridge.broker.fast_path.codec import tag_and_bits

        for ack in data.split(ACKED)[1:]:
            tag, is_multiple = tag_and_bits.unpack_from(ack)
            self._unacked -= {each for each in self._unacked if each < tag and is_multiple} | {tag}
        self._unconfirmed += data.count(PUBLISHED)
        self._wake()

    def send(self, messages: int) -> asyncio.Future[None]:
        """Deliver messages; return what completes once all are acked."""
        self._messages.extend(self._frames(n) for n in range(messages))
        self.idle = self._loop.create_future()
        self._wake()
        return self.idle

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._act)

    def _act(self) -> None:
        self._is_awake = False
        confirms = min(AT_ONCE, self._unconfirmed)
        if confirms:
            from bridge.broker.fast_path.codec import ACK, METHOD, frame, method_id, tag_and_bits

            self._confirmed += confirms
            self._unconfirmed -= confirms
            answer = method_id.pack(ACK) + tag_and_bits.pack(self._confirmed, confirms > 1)
            self.tap.data_received(frame(METHOD, PUBLISHING, answer))
        free = SENDERS - len(self._unacked)
        number = min(AT_ONCE, free, len(self._messages))
        if number:
            self.tap.data_received(b"".join(self._announced() for _ in range(number)))
        if self._unconfirmed or (len(self._unacked) < SENDERS and self._messages):
            self._wake()
        elif not self._messages and not self._unacked and not self.idle.done():
            self.idle.set_result(None)

    def _announced(self) -> bytes:
        from bridge.broker.fast_path.codec import DELIVER, METHOD, frame, method_id, tag_and_bits

        self._tag += 1
        self._unacked.add(self._tag)
        names = bytes((len(self.consumer),)) + self.consumer
        start = method_id.pack(DELIVER) + names + tag_and_bits.pack(self._tag, 0) + b"\0\0"
        return frame(METHOD, CONSUMING, start) + self._messages.popleft()

    def _frames(self, n: int) -> bytes:
        """Return the frames of a message behind the first one, as a webhook writes them."""
        from bridge.broker.fast_path.codec import Encoder
        from bridge.messages import InboundMessage, encode

        message = InboundMessage(
            id=f"{time.time_ns():x}-{n}",
            channel="callback",
            sender_id=f"sender-{n % SENDERS}",
            text="hello, how are you?",
            input_channel="callback",
            output_channel="callback",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        frames = Encoder(CONSUMING, 0).publish(
            "bridge.inbound",
            "00/32",
            encode(message),
            kind="inbound",
            correlation_id=message.id,
            message_id=message.id,
            reply_to=None,
            headers={"traceparent": message.traceparent},
        )
        return frames[8 + int.from_bytes(frames[3:7], "big") :]


async def echo(message: Any, output: Any) -> None:
    await output.send_text_message(message.sender_id, message.text)


async def started(without: str) -> Loopback:
    """Start a worker; return its broker."""
    if without:
        from tests.bench import plain

        is_whole = without in ("fairness", "pacing", "neither")
        parts = {"fairness": "pacing", "pacing": "fairness"}.get(without, without)
        plain.replace(parts if is_whole else plain.ALL_BUT + without)
    from bridge.broker.channels import ConsumerChannel
    from bridge.broker.fast_path.confirm_channel import FastConfirmChannel
    from bridge.broker.fast_path.consuming import Consuming
    from bridge.broker.fast_path.publishing import Publishing
    from bridge.broker.fast_path.tap import Tap
    from bridge.broker.health import Health
    from bridge.broker.links import Consumer
    from bridge.broker.overflow import Window
    from bridge.messages import INBOUND
    from bridge.settings.files import BrokerSettings, Partitions
    from bridge.telemetry import logs
    from bridge.telemetry.trace.recorder import process_hops
    from worker.handler import messages_only
    from worker.output_channel import QueueOutput
    from worker.role import worker_node

    logs.configure("worker")
    process_hops.on(1)
    node = worker_node(
        BrokerSettings("amqp://127.0.0.1", "bridge", Partitions()),
        messages_only(echo),
        QueueOutput,
        concurrency=None,
        prefetch=PREFETCH,
        grace=10.0,
    )
    loop = asyncio.get_running_loop()
    broker = Loopback()
    broker.tap = tap = Tap(broker, None)
    health = Health(None, None, 1e9)
    publisher: Any = node.publisher
    publisher._channel = FastConfirmChannel(
        None, loop.create_future(), Publishing(tap, PUBLISHING, 131072)
    )
    publisher.ready.set()
    publisher.problem = ""
    consuming = Consuming(tap, CONSUMING)
    underlay: Any = Underlay()
    channel = ConsumerChannel(None, underlay, health.is_alive, loop.create_future(), consuming)
    consumer: Any = next(link for link in node.links if isinstance(link, Consumer))
    generation = consumer._open_generation(
        Window(None, channel, node.topology, INBOUND, PREFETCH)  # type: ignore[arg-type]
    )
    admit = consumer._admitting(generation) if hasattr(consumer, "_admitting") else None

    def noted(delivery: Any) -> None:
        consumer._active.note(consumer._owners.get(delivery.queue, delivery.queue))
        generation.admit(delivery)

    queue = node.topology.inbound_queues()[0].name
    await channel.consume(queue, admit or noted, priority=0)
    broker.consumer = queue.encode()
    return broker


class Underlay:
    """Stands in for a channel of aiormq."""

    consumers: tuple[str, ...] = ()

    async def basic_consume(self, *_: object, **__: object) -> None: ...


async def serve(without: str, source: IO[str]) -> None:
    """Run a slice for each line of the source; print its CPU time in seconds."""
    from bridge.telemetry.trace.recorder import process_hops

    broker = await started(without)
    while line := source.readline():
        sending = broker.send(int(line))
        began = time.process_time()
        await sending
        print(time.process_time() - began, flush=True)
        process_hops.on(-1)  # forget them
        process_hops.on(1)


async def count(without: str, messages: int) -> Counter[str]:
    """Return how often each function is called for some messages."""
    from bridge.processing import throttle

    throttle.AT_ONCE = throttle.LONG_PASS = 1.0  # because counting takes time, too
    broker = await started(without)
    await broker.send(10 * SLICE)
    calls: Counter[str] = Counter()
    sending = broker.send(messages)

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            path = Path(frame.f_code.co_filename)
            calls[f"{path.parent.name}/{path.name} {frame.f_code.co_qualname}"] += 1
        elif event == "c_call":
            calls[f"C {getattr(argument, '__qualname__', argument)}"] += 1

    sys.setprofile(note)
    await sending
    sys.setprofile(None)
    return calls


class Side:
    """A role of one tree, in a process for itself."""

    def __init__(self, tree: Path, script: str, *options: str) -> None:
        command = [sys.executable, script, "--serve", *options]
        self._process = subprocess.Popen(
            command,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def slice(self, messages: int = SLICE) -> float:
        """Return the µs of CPU time per message of a slice."""
        assert self._process.stdin
        assert self._process.stdout
        print(messages, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline()) / messages * 1e6

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def compare(ours: Side, other: Side, pairs: int) -> None:
    """Print the times of two sides."""
    for side in (ours, other):
        side.slice(10 * SLICE)
    found = []
    for number in range(pairs):
        sides = (ours, other) if number % 2 else (other, ours)
        spent = {side: side.slice() for side in sides}
        found.append((spent[ours], spent[other]))
    ours.close()
    other.close()
    low, middle, high = statistics.quantiles((a / b for a, b in found), n=4)
    print(
        f"{statistics.median(a for a, _ in found):.1f} µs per message,"
        f" {statistics.median(b for _, b in found):.1f} on the other side,"
        f" difference {statistics.median(a - b for a, b in found):+.1f};"
        f" ratio {middle:.3f} ({low:.3f} to {high:.3f})"
    )


def show_calls(calls: Counter[str], messages: int) -> None:
    for name, number in calls.most_common():
        if number >= messages / 20:
            print(f"{number / messages:6.2f} {name}")
    c = sum(number for name, number in calls.items() if name.startswith("C "))
    python = sum(calls.values()) - c
    print(f"{python / messages:.1f} calls of Python, {c / messages:.1f} of C")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--beside", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--without", default="", help="parts of the other side to leave out")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--calls", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        sys.path.pop(0)  # the folder of this file, which holds a `trace.py`
        import uvloop

        uvloop.run(serve(options.without, sys.stdin))
    elif options.calls:
        import uvloop

        show_calls(uvloop.run(count(options.without, 1000)), 1000)
    else:
        ours = Side(Path(__file__).parents[2], __file__)
        other = Side(options.beside.resolve(), __file__, "--without", options.without)
        compare(ours, other, options.pairs)


if __name__ == "__main__":
    main()
