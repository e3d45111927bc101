"""Logs Rasa's lines in our format, without message texts. Imported only with rasa.

From WARNING up, Rasa logs texts of users (`text=`, `user_text=`, `rasa_event=` of its structlog
lines), responses, entities, and errors of the tracker store with their SQL parameters, which again
contain texts. So only constant parts are kept: the event name of a structlog line; the first
sentence of a `logging` line if it begins with one of SAFE; of every other line, where it was
logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

SAFE = (
    "Failed to run custom action '",
    "Encountered an exception while running action '",
    "Trying to run unknown follow-up action '",
    "Tried to set non existent slot '",
    "Failed to update model",
    "An exception was raised while fetching a model",
)
"""Beginnings of lines whose first sentence names at most an action or a slot."""


def configure(level: int) -> None:
    """Write Rasa's lines in our format; call it after `bridge.telemetry.logs.configure`."""
    structlog.configure(
        processors=[_only_the_name],
        wrapper_class=structlog.make_filtering_bound_logger(max(level, logging.WARNING)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(unquoted)


def _only_the_name(
    _: Any, __: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Return the arguments for `logging`; this is a structlog processor."""
    name = str(event["event"])
    is_name = re.fullmatch(r"[\w.]+", name) is not None
    return (name,), {"exc_info": event.get("exc_info"), "extra": {"safe": is_name}}


def unquoted(record: logging.LogRecord) -> bool:
    """Remove everything from a record of Rasa that may quote a text; keep every record."""
    message = record.getMessage()
    if record.name == "py.warnings":
        # "<path>/<file>:<line>: <category>: <text>"
        place = re.search(r"[^/]+:\d+: \w+", message)
        record.msg, record.args = place[0] if place else "a warning", ()
    elif record.name.partition(".")[0] == "rasa" and not getattr(record, "safe", False):
        shown = message.partition(".")[0] if message.startswith(SAFE) else "not shown"
        record.msg, record.args = f"{shown} (see {record.name}, line {record.lineno})", ()
        record.safe = True
    return True
