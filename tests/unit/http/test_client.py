"""What an HTTP response means for a reply: accepted, retry later, or rejected."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from aiohttp import web
from hypothesis import given, strategies as st

from bridge.errors import (
    DeliveryError,
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually


def response(
    status: int, headers: Mapping[str, str] | None = None, body: bytes = b"{}"
) -> Response:
    return Response(status, headers or {}, body)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_accepted(status: int) -> None:
    raise_for_status(response(status))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 529, 599])
def test_a_temporary_error_status_is_retryable(status: int) -> None:
    with pytest.raises(RetryableDeliveryError, match=f"HTTP {status}") as caught:
        raise_for_status(response(status))
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    "status", [301, 302, 304, 307, 400, 401, 403, 404, 405, 409, 410, 413, 422, 451]
)
def test_a_permanent_error_status_is_rejected(status: int) -> None:
    with pytest.raises(RejectedDeliveryError, match=f"HTTP {status}"):
        raise_for_status(response(status))


@pytest.mark.parametrize(("answered", "status"), [(503, 503), (404, 404), (200, 0)])
async def test_an_error_has_the_status_of_the_response_unless_the_body_tells_it(
    answered: int, status: int
) -> None:
    def check(_: Response) -> None:
        raise RejectedDeliveryError("no such channel")

    service = FakeService()
    service.answer = lambda _: web.Response(status=answered)
    await service.start()
    async with HttpClient() as http:
        with pytest.raises(RejectedDeliveryError) as caught:
            await http.post_json(service.url, {}, check=check)
    await service.stop()
    assert caught.value.status == status


@given(st.integers(100, 999))
def test_every_status_is_accepted_or_raises_a_delivery_error(status: int) -> None:
    try:
        raise_for_status(response(status))
    except DeliveryError:
        assert not 200 <= status < 300
    else:
        assert 200 <= status < 300


@pytest.mark.parametrize("status", [429, 503])
def test_a_retryable_status_carries_its_retry_after(status: int) -> None:
    with pytest.raises(RetryableDeliveryError) as caught:
        raise_for_status(response(status, {"Retry-After": "17"}))
    assert caught.value.retry_after == 17


def test_no_error_quotes_the_body() -> None:
    for status in (400, 503):
        with pytest.raises(DeliveryError) as caught:
            raise_for_status(response(status, body=b"secret"))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("30", 30), ("1.5", 1.5), (" 7 ", 7), ("-3", 0)]
)
def test_retry_after_may_be_a_number_and_is_never_negative(value: str, seconds: float) -> None:
    assert parse_retry_after({"Retry-After": value}) == seconds


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_header_names_are_case_insensitive(name: str) -> None:
    assert parse_retry_after({"X": "1", name: "5"}) == 5


def test_retry_after_may_be_a_date() -> None:
    until = datetime.now(timezone.utc) + timedelta(seconds=3600)
    seconds = parse_retry_after({"Retry-After": format_datetime(until, usegmt=True)})
    assert seconds is not None
    assert 3500 < seconds <= 3600


def test_retry_after_may_be_a_date_in_another_time_zone() -> None:
    until = datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=3600)
    seconds = parse_retry_after({"Retry-After": format_datetime(until)})
    assert seconds is not None
    assert 3500 < seconds <= 3600


@pytest.mark.parametrize(
    "value", ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000"]
)
def test_a_retry_after_in_the_past_means_at_once(value: str) -> None:
    assert parse_retry_after({"Retry-After": value}) == 0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "7 s",
        "inf",
        "-inf",
        "nan",
        "1e400",
        "9" * 400,
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
    ],
)
def test_an_invalid_retry_after_is_none(value: str) -> None:
    assert parse_retry_after({"Retry-After": value}) is None


def test_a_missing_retry_after_is_none() -> None:
    assert parse_retry_after({}) is None


@given(st.text())
def test_any_retry_after_is_parsed_to_seconds_or_none(value: str) -> None:
    seconds = parse_retry_after({"Retry-After": value})
    assert seconds is None or seconds >= 0


def test_a_body_is_read_as_json() -> None:
    assert response(200, body=b'{"ok": true}').json() == {"ok": True}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff"])
def test_a_body_that_is_not_json_is_retryable(body: bytes) -> None:
    with pytest.raises(RetryableDeliveryError, match="not JSON"):
        response(200, body=body).json()


async def test_stalled_calls_do_not_keep_other_calls_from_getting_a_connection() -> None:
    stalled = asyncio.Event()

    async def answer(call: Call) -> web.Response:
        if call.body != "quick":
            await stalled.wait()
        return web.json_response({})

    service = FakeService()
    service.answer = answer
    await service.start()
    async with HttpClient() as http:
        waiting = [asyncio.ensure_future(http.post_json(service.url, n)) for n in range(150)]
        await eventually(lambda: len(service.calls) == len(waiting))
        assert (await http.post_json(service.url, "quick")).status == 200
        stalled.set()
        await asyncio.gather(*waiting)
    await service.stop()


async def test_a_service_that_answers_too_late_does_not_count_as_unavailable() -> None:
    stalled = asyncio.Event()

    async def answer(call: Call) -> web.Response:
        await stalled.wait()
        return web.json_response({})

    service = FakeService()
    service.answer = answer
    await service.start()
    async with HttpClient(timeout=0.2) as http:
        with pytest.raises(RetryableDeliveryError) as caught:
            await http.post_json(service.url, {})
    assert not isinstance(caught.value, ServiceUnavailable)
    stalled.set()
    await service.stop()


async def test_a_service_that_does_not_accept_connections_is_unavailable() -> None:
    """When a listener's queue is full, Linux does not answer further connections."""
    with contextlib.ExitStack() as sockets:
        listener, *clients = [sockets.enter_context(socket.socket()) for _ in range(4)]
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        async with HttpClient(timeout=0.5) as http:
            with pytest.raises(ServiceUnavailable):
                await http.post_json(f"http://127.0.0.1:{listener.getsockname()[1]}/", {})


async def test_a_service_that_refuses_connections_is_unavailable() -> None:
    service = FakeService()
    await service.start()
    await service.stop()
    async with HttpClient() as http:
        with pytest.raises(ServiceUnavailable):
            await http.post_json(service.url, {})
