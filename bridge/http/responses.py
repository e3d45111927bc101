"""Responses of our HTTP servers. Sanic is imported with the first one: only servers load it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanic.response import HTTPResponse


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Return a response whose body is a JSON value."""
    made: HTTPResponse = _sanic().json(body, status, dict(headers or {}))
    return made


def text_response(
    body: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "text/plain; charset=utf-8",
) -> HTTPResponse:
    """Return a response whose body is a text, in UTF-8."""
    made: HTTPResponse = _sanic().text(body, status, dict(headers or {}), content_type)
    return made


@cache
def _sanic() -> Any:
    from sanic import response

    return response
