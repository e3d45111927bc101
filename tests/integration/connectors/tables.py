"""The parts of a connector's table: its requests, its replies, and its service's failures.

A table is data. `test_connectors.py` runs all of its `TABLES`, and
`tests/acceptance/test_parity.py` runs the same tables against Rasa's own channels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp.web import Response

from bridge.connectors.toolkit.replies import idempotency_key
from tests.support.fakes import a_reply
from tests.support.service import Call

UNSEEN: Any = object()
"""An answer that is not checked."""


@dataclass(frozen=True)
class Post:
    """One request to /webhooks/<channel>/<path>."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = "webhook"


@dataclass(frozen=True)
class Incoming:
    """A request, its messages and its response."""

    says: str
    request: Post
    messages: Sequence[Mapping[str, Any]] = ()
    """The fields to check, for each message."""
    status: int = 200
    answer: Any = UNSEEN
    """Text or JSON."""
    replies: Sequence[Mapping[str, Any]] = ()
    """The assistant's replies, for a synchronous channel; fields as in `Outgoing`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Credentials that differ from the table's."""
    differs: str = ""
    """Why Rasa's own channel behaves differently; also in docs/how-to/channels."""


@dataclass(frozen=True)
class Sent:
    """One call to the service."""

    path: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers to check."""
    method: str = "POST"
    query: Mapping[str, str] | None = None
    """None is not checked."""


@dataclass(frozen=True)
class Outgoing:
    """A reply and its calls."""

    says: str
    reply: Mapping[str, Any]
    """Fields of the reply; defaults as in `tests.support.fakes.a_reply`."""
    calls: Sequence[Sent] = ()
    error: type[Exception] | None = None
    """The error, if the reply cannot be sent."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""


@dataclass(frozen=True)
class Failure:
    """A response of the service, and the error that it means."""

    says: str
    error: type[Exception]
    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    unquoted: str = "\0"
    """Text in the response that the error must not quote."""


@dataclass(frozen=True)
class Genuine:
    """An accepted request, in parts; hostile requests are derived from it."""

    value: Any
    """JSON."""
    post: Callable[[Any], Post]
    """Builds and signs the request for a value; bytes are sent unchanged."""


@dataclass(frozen=True)
class Table:
    channel: str
    credentials: Callable[[str], Mapping[str, Any]]
    """Returns the section of credentials.yml for the URL of the fake service."""
    accepts: Any
    """JSON with which the service accepts a call."""
    incoming: Sequence[Incoming]
    outgoing: Sequence[Outgoing]
    failures: Sequence[Failure]
    genuine: Sequence[Genuine]
    signed_by: Sequence[str] = ()
    """Headers that must be present and correct; otherwise the response is a 403."""
    secrets: Sequence[str] = ()
    """Texts that must not appear on a queue, in an error or in the log."""
    now: float | None = None
    """Unix time of the requests."""
    any_content_type: bool = False
    """The content type of the body is ignored, as in Rasa."""
    synchronous: bool = False
    """The channel answers in the response; `outgoing` and `failures` are empty."""
    asked: Callable[[Call], Response] | None = None
    """The service's answers to calls that the webhook makes before it accepts a request."""

    def __str__(self) -> str:
        return self.channel

    def section(self, url: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the credentials; a setting of None removes a key."""
        merged = {**self.credentials(url), **(settings or {})}
        return {key: value for key, value in merged.items() if value is not None}


def key_of(id: str, fields: Mapping[str, Any]) -> str:
    """Return the idempotency key of a reply with this id, and with these fields in its call."""
    kind = next((name for name in fields if name != "text"), "text")
    content = fields[kind] if kind != "text" else None
    return idempotency_key(a_reply(id, kind=kind, text=fields.get("text"), content=content))


def canonical(make: Callable[[int], str]) -> str:
    """Return the first token of `make(0)`, `make(1)`, … that changes with its last character.

    The last character of a base64 signature has bits without a meaning.
    """
    tokens = (make(n) for n in count())
    return next(token for token in tokens if token[-1] not in "w01")


def cases(*rows: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """Return rows of different types; without it mypy takes their cells for `object`."""
    return rows


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
