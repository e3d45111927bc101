"""Logs Rasa's lines in our format, without message texts. Imported only with rasa.

From WARNING up, Rasa logs texts of users (`text=`, `user_text=`, `rasa_event=` of its structlog
lines), responses, entities, and errors of the tracker store with their SQL parameters, which again
contain texts. So only constant parts are kept: the event name of a structlog line; the first
sentence of a `logging` line if it begins with one of SAFE; of every other line, where it was
logged.

Rasa also logs errors that end no turn, such as that of a custom action: the user gets no answer, or
another one. They are noted for the turn (`bridge.runtime.work`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

from bridge.runtime.work import note_logged

SAFE = (
    "Failed to run custom action '",
    "Encountered an exception while running action '",
    "Trying to run unknown follow-up action '",
    "Tried to set non existent slot '",
    "Failed to update model",
    "An exception was raised while fetching a model",
)
"""Beginnings of lines whose first sentence names at most an action or a slot."""
LONGEST = 200
"""Characters of an error that are noted."""


class Noting(logging.Handler):
    """Notes the errors that Rasa logs in a turn."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        note_logged(said(record))


def note_errors() -> None:
    """Note the errors that Rasa logs in the turns of this process, from now on."""
    log = logging.getLogger("rasa")
    if not any(isinstance(handler, Noting) for handler in log.handlers):
        log.addHandler(Noting())


def said(record: logging.LogRecord) -> str:
    """Return what may be shown of an error in a record of Rasa: its first sentence if that is known
    to be safe, else where it was logged; and the class of the exception."""
    shown = _safe(record) or f"see {record.name}, line {record.lineno}"
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    return (f"{shown} ({error.__name__})" if error else shown)[:LONGEST]


def _safe(record: logging.LogRecord) -> str:
    """Return the part of a record's message that quotes no user; "" if there is none."""
    message = record.getMessage()
    if getattr(record, "safe", False):
        return message
    return message.partition(".")[0] if message.startswith(SAFE) else ""


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
        shown = _safe(record) or "not shown"
        record.msg, record.args = f"{shown} (see {record.name}, line {record.lineno})", ()
        record.safe = True
    return True
