"""Payloads from public reports and the providers' documentation that were once handled wrongly.

Each file in `reported/` holds a request, the expected turns, and the expected answer or calls.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.messages import InboundMessage
from tests.integration.connectors import botframework_table as teams, hangouts_table as hangouts
from tests.integration.connectors.runner import a_dispatcher, a_webhook
from tests.integration.connectors.tables import Post, Table
from tests.integration.connectors.test_events import ignored, increase, reported
from tests.support.fakes import a_reply
from tests.support.service import Call, FakeService

CASES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "reported").glob("*.json"))
}
each_case = pytest.mark.parametrize("name", CASES)
SERVICE_URL = "https://smba.trafficmanager.net/emea/"
ACCEPTS = {"ok": True, "sid": "SM1", "access_token": "t", "expires_in": 3600}


def table_of(case: Mapping[str, Any]) -> Table:
    """Return a table with the credentials of a case."""
    (section,) = case["credentials"].values()

    def credentials(url: str) -> dict[str, Any]:
        given = json.loads(json.dumps(section).replace("<fake>/", url))
        return {**given, "api_url": url} if case["channel"] == "botframework" else given

    def asked(call: Call) -> web.Response:
        answers = {
            "/certs": {"google": hangouts.certificate("google")},
            "/openid": {"issuer": teams.ISSUER, "jwks_uri": "keys"},
            "/keys": teams.KEYS,
            **{
                f"/webex{path.partition(' ')[2]}": answer
                for path, answer in case.get("asked", {}).items()
            },
        }
        return web.json_response(answers.get(call.path, ACCEPTS))

    return Table(case["channel"], credentials, ACCEPTS, (), (), (), (), asked=asked)


def signed(case: Mapping[str, Any], request: Mapping[str, Any]) -> Post:
    """Return a request with the headers that depend on the time or on a key."""
    body, headers = request["body"], dict(request["headers"])
    if case["channel"] == "hangouts":
        account = hangouts.of_project("1234567890")
        headers["Authorization"] = f"Bearer {hangouts.id_token(email=account)}"
    if case["channel"] == "botframework":
        body = body.replace("http://127.0.0.1:7801/smba/", SERVICE_URL)
        token = teams.token(aud="app-1", serviceurl=SERVICE_URL)
        headers["Authorization"] = f"Bearer {token}"
    if case["channel"] == "slack":
        at, secret = str(int(time.time())), case["credentials"]["slack"]["slack_signing_secret"]
        text = f"v0:{at}:{body}".encode()
        digest = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        headers |= {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}
    return Post(body.encode(), headers)


def expect(found: Any, expected: Any) -> None:
    """Assert that JSON contains what is expected; `<…>` stands for any text."""
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            assert key in found, (key, found)
            expect(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            expect(one, other)
    elif isinstance(expected, str) and expected.startswith("<"):
        assert isinstance(found, str)
        assert found
    else:
        assert found == expected


def reply_to(message: InboundMessage, case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the assistant's reply: an echo, or buttons for `go`."""
    reply: dict[str, Any] = {"text": f"echo: {message.text}"}
    if message.text == "go":
        buttons = [{"title": "Yes", "payload": "/affirm"}]
        reply = {"kind": "buttons", "text": "pick", "content": buttons}
    return {
        "channel": case["channel"],
        "recipient_id": message.sender_id,
        "route": message.route,
        **reply,
    }


@each_case
async def test_a_reported_payload_is_handled_as_it_should_be(
    name: str, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    given = CASES[name]
    expected, table = given["expected"], table_of(given)
    before, receipts = ignored(table.channel), reported(table.channel)
    # In these cases, the assistant's replies are known in advance.
    replies = [{"text": f"echo: {turn['text']}"} for turn in expected.get("turns", ())][:1]
    async with a_webhook(table, replies=replies) as webhook:
        earlier: set[str] = set()
        if "before" in given:
            assert (await webhook.post(signed(given, given["before"])))[0] == 200
            earlier = {message.id for message in webhook.messages}
        count = len(webhook.messages)
        status, answer, headers = await webhook.post(signed(given, given["request"]))
        # A worker skips an id that it has handled.
        messages = [m for m in webhook.messages[count:] if m.id not in earlier]
    assert status == expected["status"], answer
    if isinstance(expected.get("answer"), Mapping):
        expect(json.loads(answer), expected["answer"])
        assert headers["Content-Type"].startswith(expected.get("content_type", "application/json"))
    if "turns" in expected:
        said = [{f: getattr(m, f) for f in m.__struct_fields__} for m in messages]
        expect(said, expected["turns"])
    if expected.get("turns") == [] and not earlier:
        assert increase(table.channel, before) or reported(table.channel) > receipts
    if "log" in expected:
        assert "wamid.out" in caplog.text
    async with a_dispatcher(table, service) as dispatcher:
        for message in messages if "calls" in expected else ():
            await dispatcher.deliver(a_reply(**reply_to(message, given)))
    if "calls" in expected:
        (call,), made = expected["calls"], service.calls[-1]
        assert made.path.endswith(call.get("path", ""))
        expect(made.body, call["body"])
