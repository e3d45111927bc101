"""Receipts: what a service says became of a message that it had accepted."""

from __future__ import annotations

import logging
import re
from typing import Any, Literal

from bridge.http.client import Response
from bridge.telemetry import calls, logs

Outcome = Literal["sent", "delivered", "read", "failed"]

log = logging.getLogger(__name__)

CODE = re.compile(r"[0-9]{1,6}")
MOST_CODES = 100
"""Codes of one channel that have a counter each. Without a signature, anyone may send them."""
OTHER = "other"
"""Label of all further codes, and of failures without one."""


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
    calls.provider_id(str(found))
    with logs.bound(provider_id=str(found)):
        log.info("accepted by the service")


def count(channel: str, outcome: Outcome, id: str | None = None, code: object = None) -> None:
    """Count a receipt; log a failure with the service's id of the message and the error code."""
    from bridge.telemetry import metrics  # only servers load it

    metrics.receipts.labels(channel, outcome).inc()
    if outcome == "failed":
        known = _codes.label(channel, code)
        metrics.receipt_failures.labels(channel, known).inc()
        log.warning("message %.200r not delivered: error %s", id, known)
