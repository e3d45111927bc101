"""Logging of every role: one line per event, with the ids of the message it is about.

No line holds a message text, a credential or a signature. The text of a foreign error may quote
one, so only its class and frames are logged.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TextIO

from bridge.errors import BridgeError
from bridge.telemetry.log_targets import further_handlers
from bridge.telemetry.terminal import in_colour

FORMAT = "RASA_BRIDGE_LOG_FORMAT"
"""Environment variable, set by --log-format: one of FORMATS. Child processes inherit it."""
FORMATS = ("console", "json")
LONGEST_ID = 300
LONGEST_LINE = 2000
"""Characters of an id and of a message that are logged, so that no line is too long for a
collector."""
COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
_PLAIN = re.compile(r"[\w:.,/+@-]+", re.ASCII)
_QUOTED = re.compile(r"[\s'\"=]")
"""What a word of a line contains only between quotes."""
DIM, RESET = "\033[2m", "\033[0m"

_ids: ContextVar[Mapping[str, object] | None] = ContextVar("ids", default=None)
_own: logging.StreamHandler[TextIO] | None = None
"""The handler that `configure` has set, if it has set only one."""
_call_handlers = logging.Logger.callHandlers
_pid = os.getpid()


def _note_fork() -> None:
    global _pid
    _pid = os.getpid()


os.register_at_fork(after_in_child=_note_fork)


class bound:
    """Add ids to every line logged inside the block, also by other code and by tasks it starts."""

    __slots__ = ("_added", "_token")

    def __init__(self, **ids: object) -> None:
        self._added = ids

    def __enter__(self) -> None:
        self._token = _ids.set(_with(_ids.get() or {}, self._added))

    def __exit__(self, *error: object) -> None:
        _ids.reset(self._token)


def bind(**ids: object) -> None:
    """Add ids until the innermost `bound` block ends; empty ids are left out."""
    before = _ids.get()
    if before is not None:
        _ids.set(_with(before, ids))


def _with(before: Mapping[str, object], added: Mapping[str, object]) -> Mapping[str, object]:
    if not all(added.values()):
        added = {name: id for name, id in added.items() if id is not None and id != ""}
    return {**before, **added}


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
    if own is None or not _is_only(own, log):
        log.info(message, *arguments, stacklevel=2)
        return
    try:
        said = message % arguments if arguments else message
        with own.lock:  # type: ignore[union-attr]
            own.stream.write(f"{own.format(_Event(log.name, said))}\n")  # type: ignore[arg-type]
            own.stream.flush()
    except Exception:
        log.info(message, *arguments, stacklevel=2)  # it reports what is wrong


def _is_only(own: logging.Handler, log: logging.Logger) -> bool:
    """Return whether a record of a logger would go to this handler, unchanged, and nowhere else."""
    is_original = (
        type(log) is logging.Logger
        and logging.Logger.callHandlers is _call_handlers  # Sentry replaces it
        and logging.getLogRecordFactory() is logging.LogRecord
    )
    if not is_original or log.filters or own.filters or own.level > logging.INFO:
        return False
    logger: logging.Logger | None = log
    while logger is not None and logger.parent is not None:
        if logger.handlers or not logger.propagate:
            return False
        logger = logger.parent
    return logger is not None and logger.handlers == [own]


class _Event:
    """What our formatters read of a record."""

    __slots__ = ("_message", "created", "name")
    levelname = "INFO"
    exc_info = None

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        self._message = message
        self.created = time.time()

    @property
    def process(self) -> int:
        return _pid

    def getMessage(self) -> str:
        return self._message


def is_json() -> bool:
    """Whether log lines are JSON."""
    return os.environ.get(FORMAT) == "json"


class Console(logging.Formatter):
    """Lines for people: time, level, role and process, the event, and then the ids."""

    def __init__(self, role: str, colours: bool = False) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._role = role
        self._colours = colours
        self._latest: tuple[object, ...] = ()
        self._start = ""
        """How a line begins, and of which second, level and process."""

    def format(self, record: logging.LogRecord) -> str:
        latest = int(record.created), record.levelname, record.process
        if latest != self._latest:
            self._start, self._latest = self._started(record), latest
        message, details = _said(record)
        ids = "".join([f" {name}={_word(id)}" for name, id in (_ids.get() or {}).items()])
        if ids:
            ids = f" {DIM}{ids}{RESET}" if self._colours else f" {ids}"
        line = f"{self._start}{_escaped(message)}{ids}"
        return (
            "\n".join([line, *map(_indented, _escaped(details).splitlines())]) if details else line
        )

    def _started(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname:<7}"
        if self._colours:
            level = f"{COLOURS.get(record.levelname, '')}{level}{RESET}"
        return f"{self.formatTime(record, self.datefmt)} {level} {self._role}[{record.process}]: "


class JsonLines(logging.Formatter):
    """Lines for machines: one JSON object each."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        message, details = _said(record)
        time = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "role": self._role,
            "process": f"{self._host}:{record.process}",
            "message": message,
            **_logged_ids(),
            **({"details": details} if details else {}),
        }
        return json.dumps(line, default=str)


def _said(record: logging.LogRecord) -> tuple[str, str]:
    """Return the first line of a record, and the frames that may follow it.

    The further lines of a library's record are dropped: asyncio quotes the error of a failed task
    there.
    """
    message = record.getMessage()
    if record.exc_info is None and "\n" not in message:
        return _cut(message, LONGEST_LINE), ""
    message, _, details = message.partition("\n")
    if record.name.partition(".")[0] not in ("bridge", "worker"):
        details = ""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        message += f" ({described(error)})"
        details = _frames(error)
    return _cut(message, LONGEST_LINE), details


def _indented(line: str) -> str:
    """Return a further line as Python's frames are: nothing in it may look like a log line."""
    return line if line.startswith("  ") else f"  {line}"


def _escaped(text: str) -> str:
    """Return a text without control characters: a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _logged_ids() -> dict[str, object]:
    ids = _ids.get() or {}
    return {name: _cut(id, LONGEST_ID) if isinstance(id, str) else id for name, id in ids.items()}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _word(id: object) -> str:
    """Return an id as one word: it came from outside and may contain line ends or worse."""
    text = str(id)
    if len(text) > LONGEST_ID and isinstance(id, str):
        text = _cut(text, LONGEST_ID)
    if text.isascii() and text.isalnum():
        return text
    if _PLAIN.fullmatch(text):
        return text
    return text if text.isprintable() and not _QUOTED.search(text) else repr(text)


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
