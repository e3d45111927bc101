"""Measures what a webhook does in Python for each message, beside another version. Asserts nothing.

    python -m tests.bench.webhook_layers [--beside TREE] [--pairs 40]
    python -m tests.bench.webhook_layers --calls

The webhook receives requests over connections without sockets, and publishes over the frames of the
fast path to a broker in its process, which confirms at once. Otherwise as `worker_layers`.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

CONNECTIONS = 20
"""Clients, each with one request at a time."""
AT_ONCE = 3
"""Requests, or confirms, that arrive in one pass of the event loop."""
SLICE = 200
"""Messages of a slice."""
PUBLISHED = b"\0\x3c\0\x28"
"""Class and method of a publish."""
PUBLISHING = 1
"""A channel."""


class Client:
    """A connection without a socket, whose client posts again once it is answered."""

    def __init__(self, service: Service, number: int) -> None:
        self._service = service
        body = b'{"sender": "sender-%d", "message": "hello, how are you?"}' % number
        head = (
            "POST /webhooks/callback/webhook HTTP/1.1\r\nHost: 127.0.0.1:5005\r\n"
            "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: Python/3.13 aiohttp\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
        )
        self.request = head.encode() + body
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 200"), data
        self._service.answered(self)

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def set_write_buffer_limits(self, **_: Any) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None


class Service:
    """The clients, and the broker."""

    def __init__(self) -> None:
        self.tap: Any = None
        self._loop = asyncio.get_running_loop()
        self._left = self._missing = 0
        """Requests that are not sent, or not answered."""
        self._confirmed = self._unconfirmed = 0
        self._is_awake = False
        self.idle_clients: list[Client] = []
        self.idle: asyncio.Future[None] = self._loop.create_future()

    def is_closing(self) -> bool:
        return False

    def get_protocol(self) -> None: ...

    def write(self, data: bytes) -> None:
        """Take what the webhook publishes."""
        self._unconfirmed += data.count(PUBLISHED)
        self._wake()

    def answered(self, client: Client) -> None:
        self.idle_clients.append(client)
        self._missing -= 1
        self._wake()

    def send(self, messages: int) -> asyncio.Future[None]:
        """Post messages; return what completes once all are answered."""
        self._left = self._missing = messages
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
        number = min(AT_ONCE, self._left, len(self.idle_clients))
        self._left -= number
        for client in self.idle_clients[:number]:
            client.protocol.data_received(client.request)
        del self.idle_clients[:number]
        if self._unconfirmed or (self._left and self.idle_clients):
            self._wake()
        elif not self._missing and not self.idle.done():
            self.idle.set_result(None)


async def started() -> Service:
    """Start a webhook; return what is around it."""
    from bridge.broker.fast_path.confirm_channel import FastConfirmChannel
    from bridge.broker.fast_path.publishing import Publishing
    from bridge.broker.fast_path.tap import Tap
    from bridge.connectors.registry import load_channels
    from bridge.http.protocol import Connection
    from bridge.http.server import HttpServer
    from bridge.settings.files import BrokerSettings, Partitions
    from bridge.telemetry import logs
    from bridge.telemetry.trace.recorder import process_hops
    from bridge.webhook.node import WebhookNode
    from bridge.webhook.server import create_app

    logs.configure("webhook")
    process_hops.on(1)
    channels = load_channels({"callback": {"url": "http://127.0.0.1:1/"}}, "", "webhook")
    node = WebhookNode(BrokerSettings("amqp://127.0.0.1", "bridge", Partitions()), channels)
    app = create_app(node, channels)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await HttpServer.prepare(app, "127.0.0.1", port, "--port")
    loop = asyncio.get_running_loop()
    service = Service()
    service.tap = tap = Tap(service, None)
    publisher: Any = node.publisher
    publisher._channel = FastConfirmChannel(
        None, loop.create_future(), Publishing(tap, PUBLISHING, 131072)
    )
    publisher.ready.set()
    publisher.problem = ""
    for number in range(CONNECTIONS):
        client: Any = Client(service, number)
        client.protocol = Connection(loop=loop, app=app, connections=set(), state={})
        client.protocol.connection_made(client)
        service.idle_clients.append(client)
    await asyncio.sleep(0.1)
    return service


async def serve(source: IO[str]) -> None:
    """Run a slice for each line of the source; print its CPU time in seconds."""
    from bridge.telemetry.trace.recorder import process_hops

    service = await started()
    while line := source.readline():
        began = time.process_time()
        await service.send(int(line))
        print(time.process_time() - began, flush=True)
        process_hops.on(-1)  # forget them
        process_hops.on(1)


async def count(messages: int) -> Counter[str]:
    """Return how often each function is called for some messages."""
    service = await started()
    await service.send(10 * SLICE)
    calls: Counter[str] = Counter()
    sending = service.send(messages)

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


def main() -> None:
    from tests.bench import worker_layers

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--beside", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--calls", action="store_true")
    options = parser.parse_args()
    if options.calls:
        import uvloop

        worker_layers.show_calls(uvloop.run(count(1000)), 1000)
        return
    trees = Path(__file__).parents[2], options.beside.resolve()
    ours, other = (worker_layers.Side(tree, __file__) for tree in trees)
    worker_layers.compare(ours, other, options.pairs)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        import uvloop

        sys.path.pop(0)  # the folder of this file
        uvloop.run(serve(sys.stdin))
    else:
        main()
