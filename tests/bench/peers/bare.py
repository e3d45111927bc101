"""The pipeline as one would write it by hand: sanic, aio-pika and aiohttp, and nothing else.

    python bare.py webhook|worker|deliver

It keeps no order, has no ids, retries, dead letters, metrics or logs. AMQP_URL, PORT and
SERVICE_URL come from the environment. Runs in .venv-bench and imports nothing of the bridge.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import aio_pika
import aiohttp
import sanic
import uvloop
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

INBOUND, REPLIES = "bare.inbound", "bare.replies"
PREFETCH = 100


async def channel() -> AbstractChannel:
    connection = await aio_pika.connect(os.environ["AMQP_URL"])
    opened: AbstractChannel = await connection.channel(
        publisher_confirms=True, on_return_raises=True
    )
    await opened.set_qos(prefetch_count=PREFETCH)
    for name in (INBOUND, REPLIES):
        await opened.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
    return opened


async def publish(exchange: AbstractExchange, key: str, body: dict[str, Any]) -> None:
    message = aio_pika.Message(
        json.dumps(body).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
    )
    await exchange.publish(message, key, mandatory=True)


def webhook() -> None:
    app = sanic.Sanic("bare", configure_logging=False)

    @app.before_server_start
    async def connect(app: Any) -> None:
        app.ctx.exchange = (await channel()).default_exchange
        print("ready", flush=True)

    @app.post("/webhooks/callback/webhook")
    async def receive(request: sanic.Request) -> sanic.HTTPResponse:
        await publish(request.app.ctx.exchange, INBOUND, request.json)
        return sanic.text("success")

    app.run("127.0.0.1", int(os.environ["PORT"]), single_process=True, motd=False, access_log=False)


async def worker() -> None:
    opened = await channel()

    async def handle(message: AbstractIncomingMessage) -> None:
        body = json.loads(message.body)
        reply = {"recipient_id": body["sender"], "text": body["message"]}
        await publish(opened.default_exchange, REPLIES, reply)
        await message.ack()

    await (await opened.get_queue(INBOUND)).consume(handle)
    print("ready", flush=True)
    await asyncio.Future()


async def deliver() -> None:
    opened = await channel()
    async with aiohttp.ClientSession() as http:

        async def handle(message: AbstractIncomingMessage) -> None:
            body = json.loads(message.body)
            async with http.post(os.environ["SERVICE_URL"], json=body) as response:
                await response.read()
            await message.ack()

        await (await opened.get_queue(REPLIES)).consume(handle)
        print("ready", flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    if sys.argv[1] == "webhook":
        webhook()
    else:
        uvloop.run({"worker": worker, "deliver": deliver}[sys.argv[1]]())
