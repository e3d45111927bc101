"""What a connector's table says: its requests, its replies, and how its service fails.

A table is data. `test_connectors.py` runs every table of `TABLES` there, and
`tests/acceptance/test_parity.py` runs the same ones against Rasa's own channels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp.web import Response

from tests.support.service import Call

UNSEEN: Any = object()
"""Of an answer that is not looked at."""


@dataclass(frozen=True)
class Post:
    """One request to /webhooks/<channel>/<path>."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = "webhook"


@dataclass(frozen=True)
class Incoming:
    """A request, the messages that it becomes and the answer that it gets."""

    says: str
    request: Post
    messages: Sequence[Mapping[str, Any]] = ()
    """Of each message, the fields to look at."""
    status: int = 200
    answer: Any = UNSEEN
    """A text, or JSON."""
    replies: Sequence[Mapping[str, Any]] = ()
    """Of a channel that answers in the response: what the assistant says, as in `Outgoing`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keys of credentials.yml that are not as in the table."""
    differs: str = ""
    """Why Rasa's own channel does something else; it is in docs/channels.md, too."""


@dataclass(frozen=True)
class Sent:
    """One call of the service."""

    path: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those that matter."""
    method: str = "POST"
    query: Mapping[str, str] | None = None
    """None is not looked at."""


@dataclass(frozen=True)
class Outgoing:
    """A reply and the calls that it becomes."""

    says: str
    reply: Mapping[str, Any]
    """Fields of the reply; what is not given is as in `tests.support.fakes.a_reply`."""
    calls: Sequence[Sent] = ()
    error: type[Exception] | None = None
    """If no call can be made of it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""


@dataclass(frozen=True)
class Failure:
    """What the service answers, and what that means."""

    says: str
    error: type[Exception]
    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    unquoted: str = "\0"
    """What the service quotes, and the error must not."""


@dataclass(frozen=True)
class Genuine:
    """A request that is taken, in parts: hostile ones are made of it."""

    value: Any
    """JSON."""
    post: Callable[[Any], Post]
    """Makes the request of the value; bytes are taken as they are. Signs it."""


@dataclass(frozen=True)
class Table:
    channel: str
    credentials: Callable[[str], Mapping[str, Any]]
    """The section of credentials.yml, given the URL of the fake service."""
    accepts: Any
    """JSON with which the service accepts a call."""
    incoming: Sequence[Incoming]
    outgoing: Sequence[Outgoing]
    failures: Sequence[Failure]
    genuine: Sequence[Genuine]
    signed_by: Sequence[str] = ()
    """Headers without which, or with others, a request is refused (403)."""
    secrets: Sequence[str] = ()
    """Never on a queue, in an error or in the log."""
    now: float | None = None
    """Unix time at which the requests come."""
    any_content_type: bool = False
    """The body is taken for what it should be, whatever its content type says; as Rasa does."""
    synchronous: bool = False
    """It answers in the response: `outgoing` and `failures` are empty."""
    asked: Callable[[Call], Response] | None = None
    """What the service answers a webhook that asks it something, before it takes a request."""

    def __str__(self) -> str:
        return self.channel

    def section(self, url: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return {**self.credentials(url), **(settings or {})}


def canonical(make: Callable[[int], str]) -> str:
    """Return the first token of `make(0)`, `make(1)`, … that is another one with another end.

    The last character of a signature in base64 has bits that mean nothing.
    """
    tokens = (make(n) for n in count())
    return next(token for token in tokens if token[-1] not in "w01")


def cases(*rows: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """Return rows of different types; without it mypy takes their cells for `object`."""
    return rows


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
