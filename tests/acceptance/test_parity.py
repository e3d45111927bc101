"""Compares the connectors with Rasa's own channels, in all cases of all tables.

A case whose `differs` is set must differ, so the list of differences stays true. Requires rasa, but
neither a broker nor a model.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import aiohttp
import pytest
from sanic import Sanic

from bridge.broker.topology import Topology
from bridge.connectors.wrapped.outgoing import send_through
from bridge.messages import InboundMessage, Reply, decode
from tests.acceptance.rasa_channels import NOT_IN_RASA, RASA
from tests.integration.connectors.runner import Webhook, a_dispatcher, a_webhook, serving
from tests.integration.connectors.tables import UNSEEN, Incoming, Outgoing, Table
from tests.integration.connectors.test_connectors import (
    TABLES,
    each_reply_of,
    each_request_of,
)
from tests.support.fakes import FakePublisher, a_reply, an_inbound, quiet
from tests.support.service import Call, FakeService
from worker.output_channel import QueueOutput

pytestmark = [
    # Warnings of Rasa's libraries, and of Rasa where it drops buttons.
    pytest.mark.filterwarnings("ignore"),
]

COMPARED = [table for table in TABLES if table.channel in RASA]

Heard = dict[str, Any]
"""Text, sender, input channel and metadata of a message."""


@pytest.fixture(autouse=True)
def _sanic_may_have_two_apps() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


def test_every_table_is_compared() -> None:
    assert {table.channel for table in TABLES} == set(RASA) | NOT_IN_RASA


@each_request_of(COMPARED)
async def test_a_request_becomes_the_same_messages_in_rasas_own_channel(
    table: Table, case: Incoming, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_webhook(table, case.settings, case.replies) as webhook:
        status, answer, _ = await webhook.post(case.request)
        ours = [heard(message) for message in webhook.messages]
    saying = say_to_rasa(table, case, service, monkeypatch)
    theirs, their_status, their_answer = await unblocked(table, saying)
    same = (status < 400) == (their_status < 400) and alike(ours, theirs)
    if table.synchronous and status < 400:
        same = same and answer == their_answer
    if case.differs:
        other_answer = case.answer is not UNSEEN and answer != their_answer
        assert not same or other_answer, "Rasa does the same: nothing differs"
    else:
        assert same, (ours, theirs, their_status)


async def unblocked(table: Table, running: Any) -> Any:
    """Run a blocking client in a thread: the fake service needs this event loop."""
    if not RASA[table.channel].blocks:
        return await running
    return await asyncio.to_thread(asyncio.run, running)


async def say_to_rasa(
    table: Table, case: Incoming, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Heard], int, str]:
    rasa = RASA[table.channel](table.section(service.url, case.settings), service.url, table.now)
    service.answer = rasa.answer
    messages: list[Any] = []

    async def on_new_message(message: Any) -> None:
        messages.append(message)
        for fields in deepcopy(list(case.replies)):
            reply = a_reply(**{"recipient_id": message.sender_id, **fields})
            await send_through(message.output_channel, reply)

    channel = rasa.input_channel(monkeypatch)
    app: Sanic[Any, Any] = Sanic("rasa", configure_logging=False)
    app.blueprint(channel.blueprint(on_new_message), url_prefix=f"/webhooks/{table.channel}")
    async with aiohttp.ClientSession() as http, serving(app) as base:
        client = Webhook(table, http)
        client.base = base
        status, answer, _ = await client.post(case.request)
        await quiet()
    output = getattr(rasa, "output", None)
    if output is not None:
        await rasa.close(output)
    return [heard(message) for message in messages], status, answer


def heard(message: Any) -> Heard:
    return {
        "text": message.text,
        "sender_id": message.sender_id,
        "input_channel": message.input_channel,
        "metadata": message.metadata or {},
    }


def alike(ours: list[Heard], theirs: list[Heard]) -> bool:
    """Return whether `ours` has everything that Rasa's has; its metadata may have further keys."""
    return len(ours) == len(theirs) and all(
        {**mine, "metadata": {key: mine["metadata"].get(key) for key in its["metadata"]}} == its
        for mine, its in zip(ours, theirs, strict=True)
    )


@each_reply_of(COMPARED)
async def test_a_reply_becomes_the_same_calls_in_rasas_own_channel(
    table: Table, case: Outgoing, service: FakeService
) -> None:
    rasa = RASA[table.channel](table.section(service.url, case.settings), service.url, table.now)
    # Rasa's channels modify their arguments, and the cases share their buttons.
    reply = a_reply(**{"channel": table.channel, **deepcopy(dict(case.reply))})

    async def ours() -> None:
        async with a_dispatcher(table, service, case.settings) as dispatcher:
            for part in await through_the_queue(table, reply):
                await dispatcher.deliver(part)

    async def theirs() -> None:
        service.answer = rasa.answer
        output = rasa.output_channel(reply)
        try:
            await send_through(output, reply)
        finally:
            await rasa.close(output)

    ours_did = await did(ours(), service, rasa.body)
    theirs_did = await did(unblocked(table, theirs()), service, rasa.body)
    if case.differs:
        assert ours_did != theirs_did, "Rasa does the same: nothing differs"
    else:
        assert ours_did == theirs_did


async def did(sending: Any, service: FakeService, body: Any) -> tuple[list[Any], bool]:
    """Return the calls that were made, and whether all of them were."""
    service.calls.clear()
    whole = False
    with contextlib.suppress(Exception):
        await asyncio.wait_for(sending, 30)
        whole = True
    return [seen(call, body) for call in service.calls], whole


def seen(call: Call, body: Any) -> tuple[str, str, Any]:
    return call.method, call.path, json.loads(json.dumps(body(call.body)))


async def through_the_queue(table: Table, reply: Reply) -> list[Reply]:
    """Send a reply as an assistant does, and return it from the queue."""
    publisher = FakePublisher()
    message: InboundMessage = an_inbound(
        channel=table.channel, sender_id=reply.recipient_id, route=reply.route
    )
    output = QueueOutput(message, publisher.queues(Topology(channels=[table.channel])))
    await send_through(output, reply)
    return [decode(published.body, Reply) for published in publisher.published]
