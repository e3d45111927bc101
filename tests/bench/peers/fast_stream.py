"""The pipeline with FastStream: sanic and aiohttp at its ends, and its subscribers between.

    python fast_stream.py webhook|worker|deliver

See `bare` for the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aiohttp
import sanic
import uvloop
from faststream.rabbit import (  # type: ignore[import-not-found]
    Channel,
    QueueType,
    RabbitBroker,
    RabbitQueue,
)

INBOUND, REPLIES = (
    RabbitQueue(name, durable=True, queue_type=QueueType.QUORUM)
    for name in ("faststream.inbound", "faststream.replies")
)
PREFETCH = 100


def new_broker() -> Any:
    channel = Channel(prefetch_count=PREFETCH, on_return_raises=True)
    return RabbitBroker(os.environ["AMQP_URL"], default_channel=channel, logger=None)


async def start(broker: Any) -> None:
    await broker.start()
    for queue in (INBOUND, REPLIES):
        await broker.declare_queue(queue)
    print("ready", flush=True)


def webhook() -> None:
    app = sanic.Sanic("faststream", configure_logging=False)

    @app.before_server_start
    async def connect(app: Any) -> None:
        app.ctx.broker = new_broker()
        await start(app.ctx.broker)

    @app.post("/webhooks/callback/webhook")
    async def receive(request: sanic.Request) -> sanic.HTTPResponse:
        broker = request.app.ctx.broker
        await broker.publish(request.json, INBOUND, persist=True, mandatory=True)
        return sanic.text("success")

    app.run("127.0.0.1", int(os.environ["PORT"]), single_process=True, motd=False, access_log=False)


async def worker() -> None:
    broker = new_broker()

    @broker.subscriber(INBOUND)  # type: ignore[untyped-decorator]
    async def handle(body: dict[str, Any]) -> None:
        reply = {"recipient_id": body["sender"], "text": body["message"]}
        await broker.publish(reply, REPLIES, persist=True, mandatory=True)

    await start(broker)
    await asyncio.Future()


async def deliver() -> None:
    broker = new_broker()
    async with aiohttp.ClientSession() as http:

        @broker.subscriber(REPLIES)  # type: ignore[untyped-decorator]
        async def handle(body: dict[str, Any]) -> None:
            async with http.post(os.environ["SERVICE_URL"], json=body) as response:
                await response.read()

        await start(broker)
        await asyncio.Future()


if __name__ == "__main__":
    if sys.argv[1] == "webhook":
        webhook()
    else:
        uvloop.run({"worker": worker, "deliver": deliver}[sys.argv[1]]())
