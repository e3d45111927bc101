"""Responses of our HTTP servers. Sanic is imported with the first one: only servers load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanic.response import HTTPResponse


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Return a response whose body is a JSON value."""
    from sanic import response

    return response.json(body, status, dict(headers or {}))


def text_response(
    body: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "text/plain; charset=utf-8",
) -> HTTPResponse:
    """Return a response whose body is a text, in UTF-8."""
    from sanic import response

    return response.text(body, status, dict(headers or {}), content_type)
