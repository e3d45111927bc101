"""Runs every connector's table over HTTP, between the webhook's app and a fake service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest
from aiohttp import web

from bridge.errors import BrokerUnavailable, RetryableDeliveryError, ServiceUnavailable
from bridge.messages import ReplyKind
from tests.integration.connectors import (
    botframework_table,
    callback_table,
    facebook_table,
    hangouts_table,
    mattermost_table,
    rasa_table,
    rest_table,
    rocketchat_table,
    slack_table,
    telegram_table,
    twilio_table,
    twilio_voice_table,
    webexteams_table,
    webhook_table,
    whatsapp_table,
)
from tests.integration.connectors.runner import (
    a_dispatcher,
    a_webhook,
    channel_of,
    expect_calls,
    never,
)
from tests.integration.connectors.tables import (
    UNSEEN,
    Failure,
    Incoming,
    Outgoing,
    Post,
    Table,
)
from tests.support.fakes import a_reply
from tests.support.service import FakeService

TABLES = [
    botframework_table.TABLE,
    callback_table.TABLE,
    facebook_table.TABLE,
    hangouts_table.TABLE,
    mattermost_table.TABLE,
    rasa_table.TABLE,
    rest_table.TABLE,
    rocketchat_table.TABLE,
    slack_table.TABLE,
    telegram_table.TABLE,
    twilio_table.TABLE,
    twilio_voice_table.TABLE,
    webexteams_table.TABLE,
    webhook_table.TABLE,
    whatsapp_table.TABLE,
]

each_table = pytest.mark.parametrize("table", TABLES, ids=str)
each_signed_table = pytest.mark.parametrize("table", [t for t in TABLES if t.signed_by], ids=str)
each_typed_table = pytest.mark.parametrize(
    "table", [t for t in TABLES if not t.any_content_type], ids=str
)
each_secret_table = pytest.mark.parametrize("table", [t for t in TABLES if t.secrets], ids=str)
each_delivering_table = pytest.mark.parametrize(
    "table", [t for t in TABLES if not t.synchronous], ids=str
)


def each_request_of(tables: Iterable[Table]) -> pytest.MarkDecorator:
    cases = [pytest.param(t, c, id=f"{t}: {c.says}") for t in tables for c in t.incoming]
    return pytest.mark.parametrize(("table", "case"), cases)


def each_reply_of(tables: Iterable[Table]) -> pytest.MarkDecorator:
    cases = [pytest.param(t, c, id=f"{t}: {c.says}") for t in tables for c in t.outgoing]
    return pytest.mark.parametrize(("table", "case"), cases)


def first_of_each_kind(table: Table) -> list[Outgoing]:
    kinds: dict[str, Outgoing] = {}
    for case in table.outgoing:
        if case.calls:
            kinds.setdefault(case.reply.get("kind", "text"), case)
    return list(kinds.values())


each_failure = pytest.mark.parametrize(
    ("table", "case", "failure"),
    [
        pytest.param(t, c, f, id=f"{t}: {c.says}: {f.says}")
        for t in TABLES
        for c in first_of_each_kind(t)
        for f in t.failures
    ],
)


@each_request_of(TABLES)
async def test_a_request_becomes_messages_or_is_refused(table: Table, case: Incoming) -> None:
    async with a_webhook(table, case.settings, case.replies) as webhook:
        status, answer, _ = await webhook.post(case.request)
        assert status == case.status, answer
        if case.answer is not UNSEEN:
            assert (answer if isinstance(case.answer, str) else json.loads(answer)) == case.answer
        if status >= 400:
            assert json.loads(answer)["error"]
        messages = webhook.messages
    assert len(messages) == len(case.messages)
    for message, fields in zip(messages, case.messages, strict=True):
        assert {name: getattr(message, name) for name in fields} == dict(fields)
        assert message.channel == table.channel
        assert message.id
    assert len({message.id for message in messages}) == len(messages)


@each_table
async def test_an_event_has_the_same_id_each_time_it_arrives(table: Table) -> None:
    for genuine in table.genuine:
        async with a_webhook(table) as webhook:
            for _ in range(2):
                await webhook.post(genuine.post(genuine.value))
            first, second = webhook.messages
        assert first.id == second.id


@each_table
async def test_a_message_that_is_not_on_the_queue_is_never_acknowledged(table: Table) -> None:
    for genuine in table.genuine:
        async with a_webhook(table) as webhook:
            webhook.publisher.down = BrokerUnavailable("no connection")
            status, answer, headers = await webhook.post(genuine.post(genuine.value))
        assert status == 503
        assert "send it again" in json.loads(answer)["error"]
        assert int(headers["Retry-After"]) > 0


@each_signed_table
async def test_a_forged_request_is_refused(table: Table) -> None:
    async with a_webhook(table) as webhook:
        for genuine in table.genuine:
            post = genuine.post(genuine.value)
            for name in table.signed_by:
                without = {key: value for key, value in post.headers.items() if key != name}
                assert len(without) < len(post.headers)
                value = post.headers[name]
                other = value[:-1] + ("0" if value[-1] != "0" else "1")
                for headers in (
                    without,
                    {**without, name: other},
                    {**without, name: ""},
                    {**without, name: "é"},
                    {**without, name: "9" * 400},
                ):
                    status, answer, _ = await webhook.post(Post(post.body, headers))
                    assert status == 403, (name, answer)
        assert not webhook.messages


@each_table
async def test_a_channel_without_its_key_warns_and_checks_nothing(table: Table) -> None:
    verification = channel_of(table, "http://x/").connector.verification
    if not verification:
        assert not table.signed_by
        return
    if not verification.key:
        return

    def without(url: str) -> dict[str, Any]:
        return {k: v for k, v in table.credentials(url).items() if k != verification.key}

    async with a_webhook(replace(table, credentials=without)) as webhook:
        assert not webhook.connector.verifies()
        assert webhook.connector.warnings()[0].startswith(f"key '{verification.key}' is missing: ")
        for genuine in table.genuine:
            post = genuine.post(genuine.value)
            unsigned = {k: v for k, v in post.headers.items() if k not in table.signed_by}
            assert (await webhook.post(Post(post.body, unsigned)))[0] == 200
        assert webhook.messages
    if verification.key not in table.credentials("http://x/"):
        assert not table.signed_by  # optional: see test_callers
        return
    async with a_webhook(table) as webhook:
        assert webhook.connector.verifies()
        assert not [text for text in webhook.connector.warnings() if verification.key in text]


@each_typed_table
async def test_another_content_type_is_refused(table: Table) -> None:
    async with a_webhook(table) as webhook:
        for genuine in table.genuine:
            post = genuine.post(genuine.value)
            for kind in ("text/plain", "application/xml", "", "multipart/form-data; boundary=x"):
                headers = {**post.headers, "Content-Type": kind}
                status, answer, _ = await webhook.post(Post(post.body, headers))
                assert status == 415, answer
        assert not webhook.messages


@each_table
async def test_a_parameter_of_the_content_type_does_not_matter(table: Table) -> None:
    async with a_webhook(table) as webhook:
        for genuine in table.genuine:
            post = genuine.post(genuine.value)
            kind = f"{post.headers['Content-Type'].title()}; charset=utf-8"
            status, _, _ = await webhook.post(
                Post(post.body, {**post.headers, "Content-Type": kind})
            )
            assert status == 200
        assert len(webhook.messages) == len(table.genuine)


@each_secret_table
async def test_no_secret_is_on_the_queue(table: Table) -> None:
    async with a_webhook(table) as webhook:
        for case in table.incoming:
            await webhook.post(case.request)
        assert webhook.messages
        for published in webhook.publisher.published:
            assert not [secret for secret in table.secrets if secret.encode() in published.body]


@each_reply_of(TABLES)
async def test_a_reply_becomes_calls(table: Table, case: Outgoing, service: FakeService) -> None:
    reply = a_reply(**{"channel": table.channel, **case.reply})
    async with a_dispatcher(table, service, case.settings) as dispatcher:
        if case.error is not None:
            with pytest.raises(case.error) as caught:
                await dispatcher.deliver(reply)
            assert type(caught.value) is case.error
        else:
            await dispatcher.deliver(reply)
    expect_calls(service.calls, case.calls)


@each_delivering_table
def test_every_kind_of_reply_is_in_the_table(table: Table) -> None:
    kinds = {case.reply.get("kind", "text") for case in table.outgoing if case.calls}
    # Whole responses reach wrapped channels only; the dispatcher divides them for all others.
    assert kinds == set(get_args(ReplyKind)) - {"response"}


def refusing(table: Table, failure: Failure, after: int) -> Any:
    """Return the answers of a service that fails once, after a number of accepted calls."""
    seen = 0

    def answer(_: Any) -> web.Response:
        nonlocal seen
        seen += 1
        if seen != after + 1:
            return web.json_response(table.accepts)
        headers: Mapping[str, str] = failure.headers
        if isinstance(failure.body, str):
            return web.Response(status=failure.status, text=failure.body, headers=headers)
        return web.json_response(failure.body, status=failure.status, headers=headers)

    return answer


@each_failure
async def test_a_failure_has_the_meaning_that_the_service_defines(
    table: Table, case: Outgoing, failure: Failure, service: FakeService
) -> None:
    """The last call of a reply fails: a retry repeats only that call."""
    reply = a_reply(**{"channel": table.channel, **case.reply})
    last = len(case.calls) - 1
    async with a_dispatcher(table, service, case.settings) as dispatcher:
        service.answer = refusing(table, failure, last)
        with pytest.raises(failure.error) as caught:
            await dispatcher.deliver(reply)
        expect_calls(service.calls, case.calls)
        assert type(caught.value) is failure.error
        assert getattr(caught.value, "retry_after", None) == failure.retry_after
        hidden = [*table.secrets, failure.unquoted]
        assert not [text for text in hidden if text in str(caught.value)]
        if isinstance(caught.value, RetryableDeliveryError):
            await dispatcher.deliver(reply)
            expect_calls(service.calls, [*case.calls, case.calls[-1]])


@each_delivering_table
async def test_a_timeout_is_retryable(table: Table, service: FakeService) -> None:
    released = asyncio.Event()
    async with a_dispatcher(table, service, timeout=0.2) as dispatcher:
        service.answer = never(released)
        for case in first_of_each_kind(table):
            with pytest.raises(RetryableDeliveryError) as caught:
                await dispatcher.deliver(a_reply(**{"channel": table.channel, **case.reply}))
            assert type(caught.value) is RetryableDeliveryError
        released.set()


@each_delivering_table
async def test_an_unreachable_service_is_unavailable(table: Table, service: FakeService) -> None:
    reply = a_reply(**{"channel": table.channel, **first_of_each_kind(table)[0].reply})
    async with a_dispatcher(table, service) as dispatcher:
        await service.stop()
        with pytest.raises(ServiceUnavailable) as caught:
            await dispatcher.deliver(reply)
    assert not [secret for secret in table.secrets if secret in str(caught.value)]
