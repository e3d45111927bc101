"""Whom a service asks to wait: the recipient or the whole channel, as the provider defines it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from bridge.errors import RetryableDeliveryError, Scope
from tests.integration.connectors import (
    botframework_table,
    callback_table,
    facebook_table,
    mattermost_table,
    rocketchat_table,
    slack_table,
    telegram_table,
    twilio_table,
    webexteams_table,
    webhook_table,
    whatsapp_table,
)
from tests.integration.connectors.runner import a_dispatcher
from tests.integration.connectors.tables import Table
from tests.support.fakes import a_reply
from tests.support.service import FakeService

NINE = {"Retry-After": "9"}


def meta(code: int) -> dict[str, Any]:
    return {"error": {"message": "…", "type": "OAuthException", "code": code}}


CASES: list[tuple[Table, int, Any, Scope]] = [
    (botframework_table.TABLE, 429, {}, "recipient"),
    (callback_table.TABLE, 429, {}, "recipient"),
    (webhook_table.TABLE, 429, {}, "recipient"),
    (telegram_table.TABLE, 429, {"ok": False, "parameters": {"retry_after": 9}}, "recipient"),
    (slack_table.TABLE, 429, {}, "channel"),
    (slack_table.TABLE, 200, {"ok": False, "error": "ratelimited"}, "channel"),
    (mattermost_table.TABLE, 429, {}, "channel"),
    (rocketchat_table.TABLE, 429, {}, "channel"),
    (twilio_table.TABLE, 429, {"code": 20429}, "channel"),
    (twilio_table.TABLE, 429, {"code": 63018}, "channel"),
    (webexteams_table.TABLE, 429, {}, "channel"),
    (webexteams_table.TABLE, 423, {}, "recipient"),
    (facebook_table.TABLE, 400, meta(4), "channel"),
    (facebook_table.TABLE, 400, meta(80006), "channel"),
    (facebook_table.TABLE, 500, meta(2), "recipient"),
    (whatsapp_table.TABLE, 400, meta(130429), "channel"),
    (whatsapp_table.TABLE, 400, meta(80007), "channel"),
    (whatsapp_table.TABLE, 400, meta(131056), "recipient"),
]


def reply_of(table: Table) -> Any:
    case = next(c for c in table.outgoing if c.calls and c.reply.get("kind", "text") == "text")
    return a_reply(**{"channel": table.channel, **case.reply})


IDS = [f"{table}: {status} {body}" for table, status, body, _ in CASES]


@pytest.mark.parametrize(("table", "status", "body", "scope"), CASES, ids=IDS)
async def test_a_wait_concerns_those_whom_the_provider_limits(
    table: Table, status: int, body: Any, scope: Scope, service: FakeService
) -> None:
    reply = reply_of(table)
    async with a_dispatcher(table, service, {}) as dispatcher:
        service.answer = _refusing(table, status, body)
        with pytest.raises(RetryableDeliveryError) as caught:
            await dispatcher.deliver(reply)
    assert (caught.value.retry_after, caught.value.scope) == (9.0, scope)


def _refusing(table: Table, status: int, body: Any) -> Any:
    def answer(call: Any) -> web.Response:
        # A login is no call that delivers.
        headers: Mapping[str, str] = NINE
        if "login" in call.path or "token" in call.path:
            return web.json_response(table.accepts, headers={"Token": "t"})
        return web.json_response(body, status=status, headers=headers)

    return answer
