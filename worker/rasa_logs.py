"""Rasa's own log lines in our format, without what they quote. Imported with rasa only.

From WARNING up Rasa logs texts of users (`text=`, `user_text=`, `rasa_event=` of its structlog
lines), responses, entities, and errors of the tracker store with their SQL parameters, which are
the texts again. So of a structlog line its name is kept, which is a constant; of a line of
`logging`, whose text is made before we see it, the first sentence if it is one of SAFE; of every
other line only where it was logged.
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
"""How the lines begin whose first sentence names an action, a slot or nothing."""


def configure(level: int) -> None:
    """Have Rasa's lines written as ours; call it after `bridge.logs.configure`."""
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
    """Return the arguments with which the line is logged; see structlog's processors."""
    name = str(event["event"])
    is_name = re.fullmatch(r"[\w.]+", name) is not None
    return (name,), {"exc_info": event.get("exc_info"), "extra": {"safe": is_name}}


def unquoted(record: logging.LogRecord) -> bool:
    """Take out of a record of Rasa's what may quote a text. A filter that keeps every record."""
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
