"""Logging of every role: one line per event, with the ids of the message it is about.

No line holds a message text, a credential or a signature. The text of a foreign error may quote
one, so only its class and frames are logged.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TextIO

from bridge.errors import BridgeError
from bridge.telemetry.log_targets import further_handlers
from bridge.telemetry.log_words import LONGEST_ID, LONGEST_LINE, cut, escaped, words
from bridge.telemetry.terminal import in_colour

FORMAT = "RASA_BRIDGE_LOG_FORMAT"
"""Environment variable, set by --log-format: one of FORMATS. Child processes inherit it."""
FORMATS = ("console", "json")
COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
DIM, RESET = "\033[2m", "\033[0m"

_ids: ContextVar[dict[str, object] | None] = ContextVar("ids", default=None)
_own: logging.StreamHandler[TextIO] | None = None
"""The handler that `configure` has set, if it has set only one."""
_call_handlers = logging.Logger.callHandlers
_pid = os.getpid()
_to_json = json.JSONEncoder(default=str).encode


def _note_fork() -> None:
    global _pid
    _pid = os.getpid()


os.register_at_fork(after_in_child=_note_fork)


class bound:
    """Add ids to every line logged inside the block, also by other code and by tasks it starts."""

    __slots__ = ("_added", "_token")

    def __init__(self, own: dict[str, object] | None = None, /, **ids: object) -> None:
        """Empty ids are left out. `own` takes less time than names; the block may change it."""
        added = ids if own is None else own
        self._added = added if all(added.values()) else _given(added)

    def __enter__(self) -> None:
        before = _ids.get()
        self._token = _ids.set({**before, **self._added} if before else self._added)

    def __exit__(self, *error: object) -> None:
        _ids.reset(self._token)


def bind(**ids: object) -> None:
    """Add ids until the innermost `bound` block ends; empty ids are left out."""
    before = _ids.get()
    if before is not None:
        _ids.set({**before, **_given(ids)})


def bind_own(name: str, id: object) -> None:
    """Add an id as `bind` does. If it is a new one, tasks that the block has started get it, too,
    which takes less time."""
    ids = _ids.get()
    if ids is None:
        return
    if name in ids:
        _ids.set({**ids, name: id})
    else:
        ids[name] = id


def _given(ids: dict[str, object]) -> dict[str, object]:
    """Return the ids that are not empty."""
    return {name: id for name, id in ids.items() if id is not None and id != ""}


def configure(role: str, level: int = logging.INFO) -> None:
    """Log to stderr, and to a file or syslog if the environment says so (`log_targets`).

    Libraries log only from WARNING, because some log whole messages.

    Raises:
        SettingsError: the file cannot be written, or syslog's address is not one.
    """
    global _own
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role) if is_json() else Console(role, in_colour(sys.stderr)))
    handlers: list[logging.Handler] = [handler, *further_handlers()]
    _own = None if len(handlers) > 1 else handler
    for further in handlers[1:]:
        further.setFormatter(JsonLines(role) if is_json() else Console(role))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.captureWarnings(True)
    for ours in ("bridge", "worker"):
        logging.getLogger(ours).setLevel(level)
    # Both log a traceback for each lost connection; our links log one line.
    for noisy in ("aiormq", "aio_pika"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def event(log: logging.Logger, message: str, *arguments: object) -> None:
    """Log what happens to every message, at INFO, like `log.info`.

    It takes half the CPU time: while no other handler, filter or library would see the record,
    only a few fields of it are made.
    """
    own = _own
    if not log.isEnabledFor(logging.INFO):
        return
    try:
        said = message % arguments if arguments else message
        if (
            own is not None
            and _is_only(own, log)
            and said.isprintable()
            and len(said) <= LONGEST_LINE
        ):
            formatter: Console | JsonLines = own.formatter  # type: ignore[assignment]
            line = formatter.line(time.time(), "INFO", _pid, log.name, said)
            with own.lock:  # type: ignore[union-attr]
                own.stream.write(line + "\n")
                own.stream.flush()
            return
    except Exception:  # noqa: S110 - `logging` reports what is wrong
        pass
    log.info(message, *arguments, stacklevel=2)


def _is_only(own: logging.Handler, log: logging.Logger) -> bool:
    """Return whether a record of a logger would go to this handler, unchanged, and nowhere else."""
    if (
        type(log) is not logging.Logger
        or logging.Logger.callHandlers is not _call_handlers  # Sentry replaces it
        or logging.getLogRecordFactory() is not logging.LogRecord
        or log.filters
        or own.filters
        or own.level > logging.INFO
    ):
        return False
    logger = log
    while (parent := logger.parent) is not None:
        if logger.handlers or not logger.propagate:
            return False
        logger = parent
    return logger.handlers == [own]


def is_json() -> bool:
    """Whether log lines are JSON."""
    return os.environ.get(FORMAT) == "json"


class Console(logging.Formatter):
    """Lines for people: time, level, role and process, the event, and then the ids."""

    def __init__(self, role: str, colours: bool = False) -> None:
        super().__init__()
        self._role = role
        self._colours = colours
        self._latest: tuple[object, ...] = ()
        self._start = ""
        """How a line begins, and of which second, level and process."""

    def format(self, record: logging.LogRecord) -> str:
        message, details = _said(record)
        message = escaped(message)
        line = self.line(record.created, record.levelname, record.process, record.name, message)
        return (
            "\n".join([line, *map(_indented, escaped(details).splitlines())]) if details else line
        )

    def line(self, created: float, level: str, process: int | None, name: str, message: str) -> str:
        """Return a line that says this, at a Unix time; `message` is printable."""
        latest = int(created), level, process
        if latest != self._latest:
            self._start, self._latest = self._started(*latest), latest
        ids = _ids.get()
        if not ids:
            return self._start + message
        if self._colours:
            return f"{self._start}{message} {DIM}{words(ids)}{RESET}"
        return f"{self._start}{message} {words(ids)}"

    def _started(self, created: float, level: str, process: int | None) -> str:
        padded = f"{level:<7}"
        if self._colours:
            padded = f"{COLOURS.get(level, '')}{padded}{RESET}"
        at = time.strftime("%H:%M:%S", self.converter(created))
        return f"{at} {padded} {self._role}[{process}]: "


class JsonLines(logging.Formatter):
    """Lines for machines: one JSON object each."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        message, details = _said(record)
        level, process = record.levelname, record.process
        return self.line(record.created, level, process, record.name, message, details)

    def line(
        self,
        created: float,
        level: str,
        process: int | None,
        name: str,
        message: str,
        details: str = "",
    ) -> str:
        """Return a line that says this, at a Unix time."""
        time = datetime.fromtimestamp(created, timezone.utc)
        line = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": level,
            "logger": name,
            "role": self._role,
            "process": f"{self._host}:{process}",
            "message": message,
            **_logged_ids(),
            **({"details": details} if details else {}),
        }
        return _to_json(line)


def _said(record: logging.LogRecord) -> tuple[str, str]:
    """Return the first line of a record, and the frames that may follow it.

    The further lines of a library's record are dropped: asyncio quotes the error of a failed task
    there.
    """
    message = record.getMessage()
    if record.exc_info is None and "\n" not in message:
        return cut(message, LONGEST_LINE), ""
    message, _, details = message.partition("\n")
    if record.name.partition(".")[0] not in ("bridge", "worker"):
        details = ""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        message += f" ({described(error)})"
        details = _frames(error)
    return cut(message, LONGEST_LINE), details


def _indented(line: str) -> str:
    """Return a further line as Python's frames are: nothing in it may look like a log line."""
    return line if line.startswith("  ") else f"  {line}"


def _logged_ids() -> dict[str, object]:
    ids = _ids.get() or {}
    return {name: cut(id, LONGEST_ID) if isinstance(id, str) else id for name, id in ids.items()}


def described(error: BaseException) -> str:
    """Return the class of an error, with its text only if it is ours: others may quote users."""
    if isinstance(error, BridgeError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def frames(error: BaseException) -> str:
    """Return where a foreign error was raised, without its text."""
    return "" if isinstance(error, BridgeError) else f"\n{_frames(error)}"


def _frames(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)).rstrip()
