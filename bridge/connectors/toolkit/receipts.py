"""Receipts: what a service says became of a message that it had accepted."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from bridge.connectors.interfaces import ReceiptSink
from bridge.messages.receipts import Outcome as Outcome, Receipt
from bridge.runtime import work
from bridge.telemetry import logs

if TYPE_CHECKING:
    from bridge.http.client import Response

log = logging.getLogger(__name__)

CODE = re.compile(r"[0-9]{1,6}")
MOST_CODES = 100
"""Codes of one channel that have a counter each. Without a signature, anyone may send them."""
MOST_ID = 255
"""Characters kept of an id or a code."""
LATEST = 1e11
"""Unix time above which a value is none in seconds."""
OTHER = "other"
"""Label of all further codes, and of failures without one."""


T = TypeVar("T")


class ReceiptSource:
    """The part of a connector that knows what becomes of receipts."""

    closed_window: ClassVar[frozenset[str]] = frozenset()
    """Codes in receipts: only a template may be sent now, because the user wrote too long ago."""
    watermarks: ClassVar[bool] = False
    """Whether receipts may cover all messages of a conversation up to a moment."""
    receipts: ReceiptSink | None = None
    """Where the webhook puts receipts; None if they are only counted. Set by the webhook role."""

    def template(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return a template of the option `receipts` as the content of a custom reply."""
        return dict(content)

    def reporting(self, receiving: Awaitable[T]) -> Awaitable[T]:
        """Return what awaits the work on a request, and then publishes the receipts in it.

        Raises:
            BrokerError: they were not confirmed.
        """
        return receiving if self.receipts is None else _reporting(receiving, self.receipts)


class Codes:
    """The error codes that a channel has counted: labels of a metric must be bounded."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def label(self, channel: str, code: object) -> str:
        """Return a code as the value of a label."""
        known, text = self._known.setdefault(channel, set()), str(code)
        if text not in known:
            if not CODE.fullmatch(text) or len(known) >= MOST_CODES:
                return OTHER
            known.add(text)
        return text


_codes = Codes()


_told: ContextVar[list[Receipt] | None] = ContextVar("told", default=None)
_ids: ContextVar[list[str] | None] = ContextVar("ids", default=None)


class told:
    """Collect the receipts that are counted while the context lasts."""

    __slots__ = ("_token",)

    def __enter__(self) -> list[Receipt]:
        receipts: list[Receipt] = []
        self._token = _told.set(receipts)
        return receipts

    def __exit__(self, *error: object) -> None:
        _told.reset(self._token)


async def _reporting(receiving: Awaitable[T], sink: ReceiptSink) -> T:
    with told() as receipts:
        result = await receiving
    if receipts:
        await sink.put(receipts)
    return result


@contextmanager
def accepted_ids() -> Iterator[list[str]]:
    """Collect the services' ids of the messages that are accepted while the context lasts."""
    ids: list[str] = []
    token = _ids.set(ids)
    try:
        yield ids
    finally:
        _ids.reset(token)


def accepted(response: Response, *path: str | int) -> None:
    """Log that a service has accepted a message, with its id for it, which receipts name.

    `path` leads to the id in the response. A response without one is no error.
    """
    found: Any = response.json_object()
    for key in path:
        try:
            found = found[key]
        except (LookupError, TypeError):
            return
    work.accepted(str(found))
    ids = _ids.get()
    if ids is not None:
        ids.append(str(found))
    with logs.bound(provider_id=str(found)):
        logs.event(log, "accepted by the service")


def unix_time(value: Any, unit: float = 1.0) -> float | None:
    """Return a service's time as Unix seconds, None if it is none; `unit` is that of the value."""
    try:
        at = float(value) * unit
    except (TypeError, ValueError, OverflowError):
        return None
    return at if 0 < at < LATEST else None


def tell(receipt: Receipt) -> None:
    """Have a receipt joined to what it is about, without counting it."""
    receipts = _told.get()
    if receipts is not None:
        receipts.append(receipt)


def count(
    channel: str,
    outcome: Outcome,
    id: str | None = None,
    code: object = None,
    at: float | None = None,
) -> None:
    """Count a receipt; log a failure with the service's id of the message and the error code.

    `at` is the Unix time in seconds that the service gives.
    """
    from bridge.telemetry import metrics  # only servers load it

    metrics.receipts.labels(channel, outcome).inc()
    known = None if code is None else str(code)[:MOST_ID]
    tell(Receipt((id or "")[:MOST_ID], outcome, at or time.time(), known))
    if outcome == "failed":
        known = _codes.label(channel, code)
        metrics.receipt_failures.labels(channel, known).inc()
        log.warning("message %.200r not delivered: error %s", id, known)


def cover(
    channel: str,
    outcome: Outcome,
    conversation: str,
    until: float,
    at: float | None = None,
    *,
    is_counted: bool = True,
) -> None:
    """Tell what became of all messages of a conversation up to a Unix time, a watermark."""
    from bridge.telemetry import metrics  # only servers load it

    if is_counted:
        metrics.receipts.labels(channel, outcome).inc()
    now = time.time()
    # What is sent from now on is not covered, even if the service's clock is fast.
    until = min(until, now)
    tell(Receipt("", outcome, at or now, conversation=conversation, until=until))
