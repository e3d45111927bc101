"""Runs a connector's case tables: what a request becomes, and what a reply becomes.

A connector's test file is its tables and two lines:

    INCOMING = [Incoming("a text is one message", post({…}), [{"text": "hi"}]), …]
    OUTGOING = [Outgoing("a text is one call", {"kind": "text", "text": "hi"}, [{…}]), …]

    test_requests = requests_of(connector, INCOMING)
    test_replies = replies_of(connector, OUTGOING)
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.connectors.base import Connector, Request
from bridge.connectors.rest import reply_body
from bridge.delivery.http import Response
from bridge.errors import RequestRejected
from tests.support.fakes import a_reply


def post(
    body: Any,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    url: str = "https://bot.example/webhooks/channel/webhook",
) -> Request:
    """Return a POST with a body of bytes as they are, or of a value as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", url, dict(headers or {}), dict(query or {}), raw)


@dataclass(frozen=True)
class Incoming:
    """A request, and the messages that it becomes or the status with which it is refused."""

    says: str
    request: Request
    messages: Sequence[Mapping[str, Any]] | None = None
    """Of each message, the fields to look at."""
    status: int | None = None


@dataclass(frozen=True)
class Outgoing:
    """A reply, and the bodies of the calls that it becomes, in order."""

    says: str
    reply: Mapping[str, Any]
    """Fields of the reply; what is not given is as in `a_reply`."""
    bodies: Sequence[Any] | None = None
    calls: Sequence[Mapping[str, Any]] | None = None
    """Of each call, further fields to look at: url, headers (those given), params, basic_auth."""
    answers: Sequence[Response | Exception] = ()
    """What the service answers to each call; 200 and `{}` if not given."""
    error: type[Exception] | None = None


@dataclass
class Call:
    url: str
    body: Any
    headers: dict[str, str]
    params: dict[str, str]
    basic_auth: tuple[str, str] | None


@dataclass
class RecordingHttp:
    """Stands for `HttpClient`: records each call and answers as planned."""

    answers: list[Response | Exception] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    async def post_json(
        self,
        url: str,
        body: Any,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
    ) -> Response:
        sent = json.loads(json.dumps(body))
        self.calls.append(Call(url, sent, dict(headers or {}), dict(params or {}), basic_auth))
        answer = self.answers.pop(0) if self.answers else Response(200, {}, b"{}")
        if isinstance(answer, Exception):
            raise answer
        return answer


def requests_of(connector: Connector, cases: Sequence[Incoming]) -> Callable[[Incoming], None]:
    """Return the test that hands each request to `verify` and `parse`."""
    connector.channel = connector.channel or connector.name

    @pytest.mark.parametrize("case", cases, ids=[case.says for case in cases])
    def test_requests_become_messages_or_are_refused(case: Incoming) -> None:
        if case.status is not None:
            with pytest.raises(RequestRejected) as caught:
                _received(connector, case.request)
            assert caught.value.status == case.status
            return
        messages = _received(connector, case.request)
        expected = case.messages or []
        assert len(messages) == len(expected)
        for message, fields in zip(messages, expected, strict=True):
            assert {name: getattr(message, name) for name in fields} == dict(fields)
            assert message.id
            assert message.channel == connector.channel

    return test_requests_become_messages_or_are_refused


def replies_of(
    connector: Connector, cases: Sequence[Outgoing]
) -> Callable[[Outgoing], Awaitable[None]]:
    """Return the test that splits each reply and delivers its parts."""

    @pytest.mark.parametrize("case", cases, ids=[case.says for case in cases])
    async def test_replies_become_calls(case: Outgoing) -> None:
        reply = a_reply(**{"id": "e1:0", **case.reply})
        parts = list(connector.split(reply))
        assert len({part.id for part in parts}) == len(parts)
        if connector.synchronous:
            assert [reply_body(part) for part in parts] == case.bodies
            return
        http = RecordingHttp(list(case.answers))
        if case.error is not None:
            with pytest.raises(case.error):
                await _deliver(connector, parts, http)
        else:
            await _deliver(connector, parts, http)
        if case.bodies is not None:
            assert [call.body for call in http.calls] == case.bodies
        if case.calls is not None:
            assert len(http.calls) == len(case.calls)
            for call, fields in zip(http.calls, case.calls, strict=True):
                _look_at(call, fields)

    return test_replies_become_calls


def _received(connector: Connector, request: Request) -> list[Any]:
    connector.verify(request)
    return connector.parse(request)


async def _deliver(connector: Connector, parts: Sequence[Any], http: Any) -> None:
    for part in parts:
        await connector.deliver(part, http)


def _look_at(call: Call, fields: Mapping[str, Any]) -> None:
    for name, expected in fields.items():
        value = getattr(call, name)
        if name == "headers":
            value = {header: value.get(header) for header in expected}
        assert value == expected
