"""Responses whose headers are encoded once are those of Sanic."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sanic import response

from bridge.http.responses import MOST_HEADS, text_response

HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "some": {"Retry-After": "5", "X-Name": "ü"},
    "a content type": {"content-type": "text/html"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("status", [200, 204, 304, 503])
def test_the_headers_are_those_of_sanic(status: int, headers: dict[str, str]) -> None:
    for length, connection in itertools.product((7, 8, 7), ("keep-alive", "close")):
        ours = text_response("success", status, headers)
        theirs = response.text("success", status, headers)
        for each in (ours, theirs):
            each.headers["content-length"] = length
            each.headers["connection"] = connection
        assert list(ours.processed_headers) == list(theirs.processed_headers)
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


def test_a_response_has_every_field_of_sanics() -> None:
    ours, theirs = text_response("success"), response.text("success")
    fields = {name for kind in type(theirs).__mro__ for name in getattr(kind, "__slots__", ())}
    assert fields
    for name in fields - {"headers"}:
        assert getattr(ours, name) == getattr(theirs, name)


def test_each_response_has_its_own_cookie() -> None:
    for value in ("a", "b"):
        made = text_response("success")
        cookies: Any = made.cookies
        if hasattr(cookies, "add_cookie"):
            cookies.add_cookie("name", value)
        else:  # Sanic 21.12
            cookies["name"] = value
        (cookie,) = [v for k, v in made.processed_headers if k.lower() == b"set-cookie"]
        assert cookie.startswith(b"name=" + value.encode())


def test_any_number_of_different_responses_is_right() -> None:
    for n in range(3 * MOST_HEADS):
        made = text_response("", headers={"X": str(n)})
        assert (b"x", str(n).encode()) in [(k.lower(), v) for k, v in made.processed_headers]
