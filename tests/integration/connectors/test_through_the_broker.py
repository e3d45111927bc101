"""Every connector's requests and replies through a real RabbitMQ, in all roles.

The tables define the results without a broker. With a broker, the results must be the same, once
each: the calls are compared with those of a dispatcher that receives the replies directly, and the
response with that of a webhook whose turn runs in the same process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bridge.connectors.wrapped.outgoing import send_through
from bridge.messages import InboundMessage, Reply
from bridge.settings.files import BrokerSettings, Partitions
from tests.integration.connectors.runner import a_dispatcher, a_webhook, asked, channel_of
from tests.integration.connectors.tables import Table
from tests.integration.connectors.test_connectors import TABLES, each_table, first_of_each_kind
from tests.integration.connectors.through import Bridge, a_bridge
from tests.support.broker import Broker
from tests.support.fakes import a_reply
from tests.support.service import Call, FakeService

pytestmark = pytest.mark.asyncio(loop_scope="module")

Fields = Mapping[str, Any]


@dataclass
class Running:
    bridge: Bridge
    services: dict[str, FakeService]
    """Channel → path to which its replies are posted."""
    turns: list[InboundMessage]


def says(table: Table, message: InboundMessage) -> list[Reply]:
    """Return the assistant's replies to a message: its text, and every kind of reply."""
    kinds: Sequence[Fields] = [case.reply for case in first_of_each_kind(table)]
    if table.synchronous:
        kinds = max((case.replies for case in table.incoming), key=len)
    said = [{"text": message.text}, *({k: v for k, v in f.items() if k in KEPT} for f in kinds)]
    return [
        a_reply(
            f"{message.id}:{n}",
            channel=message.channel,
            recipient_id=message.sender_id,
            route=message.route,
            **fields,
        )
        for n, fields in enumerate(said)
    ]


UNPACED = {"rate_limit_per_recipient": "none"}
"""Every kind of reply goes to one recipient; the services' limits would take half a minute."""
KEPT = ("kind", "text", "content", "options")
"""The fields of a response in the domain; the others depend on the message."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(broker: Broker) -> AsyncIterator[Running]:
    tables = {table.channel: table for table in TABLES}
    turns: list[InboundMessage] = []

    async def handle(message: InboundMessage, output: Any) -> None:
        turns.append(message)
        for reply in says(tables[message.channel], message):
            await send_through(output, reply)

    async with AsyncExitStack() as stack:
        services = {name: FakeService() for name in tables}
        receiving, delivering = {}, {}
        for name, table in tables.items():
            await services[name].start()
            stack.push_async_callback(services[name].stop)
            services[name].answer = accepting(table)
            asked_url = await stack.enter_async_context(asked(table, ""))
            receiving[name] = channel_of(table, asked_url)
            delivering[name] = channel_of(table, services[name].url, UNPACED)
        settings = BrokerSettings(broker.url, "through", Partitions(inbound=4, replies=2))
        bridge = await stack.enter_async_context(a_bridge(settings, receiving, delivering, handle))
        yield Running(bridge, services, turns)


def accepting(table: Table) -> Any:
    return lambda call: web.json_response(table.accepts)


@each_table
async def test_a_message_is_answered_once_even_if_its_request_is_repeated(
    table: Table, running: Running
) -> None:
    request = table.genuine[0].post(table.genuine[0].value)
    async with a_webhook(table) as webhook:
        await webhook.post(request)
        (message,) = webhook.messages
    replies = says(table, message)
    answers = [await running.bridge.post(table.channel, request) for _ in range(2)]
    await running.bridge.settled("inbound", table.channel, "repeated", 1)
    (turn,) = [turn for turn in running.turns if turn.channel == table.channel]
    assert (turn.id, turn.text) == (message.id, message.text)
    assert turn.metadata == message.metadata
    if table.synchronous:
        assert answers[0] == await answer_of(table, request, replies)
        assert answers[1][0] == 200
        return
    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    await running.bridge.settled("replies", table.channel, "handled", len(replies))
    calls = running.services[table.channel].calls
    assert message.text in str([call.body for call in calls])
    assert seen(calls) == seen(await calls_of(table, replies))


async def answer_of(table: Table, request: Any, replies: Sequence[Reply]) -> tuple[int, str]:
    """Return the response of a webhook whose turn yields the replies without a queue."""
    fields = [{"kind": r.kind, "text": r.text, "content": r.content} for r in replies]
    async with a_webhook(table, replies=fields) as webhook:
        status, answer, _ = await webhook.post(request)
    return status, answer


async def calls_of(table: Table, replies: Sequence[Reply]) -> list[Call]:
    """Return the calls of a dispatcher that receives the replies without a queue."""
    service = FakeService()
    await service.start()
    try:
        async with a_dispatcher(table, service) as dispatcher:
            for reply in replies:
                await dispatcher.deliver(reply)
    finally:
        await service.stop()
    return service.calls


def seen(calls: Sequence[Call]) -> list[Any]:
    return [
        (
            call.method,
            call.path,
            call.query,
            {name: value for name, value in call.headers.items() if name != "Host"},
            call.body,
        )
        for call in calls
    ]
