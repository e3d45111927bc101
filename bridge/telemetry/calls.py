"""What a service answers to the call that runs: its HTTP status, and its id of what it accepted.

The HTTP client and the connectors note it; a trace shows it. Without a trace, nothing is kept.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

import msgspec


class Answer(msgspec.Struct, gc=False):
    """The latest answer within one call of a connector, which may make several requests."""

    status: int = 0
    provider_id: str = ""


class Answering(Protocol):
    """What has the fields of an `Answer`."""

    status: int
    provider_id: str


current_answer: ContextVar[Answering | None] = ContextVar("answer", default=None)


class answering:
    """Yields the answer to what the block requests; it is filled in meanwhile.

    Nested blocks share one answer.
    """

    __slots__ = ("_token", "answer")

    answer: Answering

    def __enter__(self) -> Answering:
        self.answer = current_answer.get() or Answer()
        self._token = current_answer.set(self.answer)
        return self.answer

    def __exit__(self, kind: type[BaseException] | None = None, *error: object) -> None:
        current_answer.reset(self._token)


def answered(status: int) -> None:
    """Note the HTTP status of a response."""
    answer = current_answer.get()
    if answer is not None:
        answer.status = status


def provider_id(id: str) -> None:
    """Note the id that the service has given to what it accepted."""
    answer = current_answer.get()
    if answer is not None:
        answer.provider_id = id
