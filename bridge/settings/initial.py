"""What a Rasa project needs before its first start behind the bridge, added to its files as text.

Text, not data: comments, order and quotes of the user's files stay as they are.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bridge.errors import SettingsError
from bridge.settings.files import (
    DEFAULT_ENDPOINTS,
    broker_settings,
    credentials_file,
    load_broker,
    load_credentials,
)
from bridge.settings.yaml_values import parse_yaml

CHANNEL = "rest:\n"
TRACKERS = """\
# Conversations, shared by all workers. SQLite serves one machine; use PostgreSQL for several.
tracker_store:
  type: SQL
  dialect: sqlite
  db: trackers.db
"""
BROKER = """\
# RabbitMQ, for rasa-channel-bridge. Rasa ignores this section.
bridge:
  {url}
  namespace: {namespace}
"""
DEFAULT = "# url: amqp://user:password@host:5672/   (default: $AMQP_URL, else guest on localhost)"


@dataclass(frozen=True)
class Change:
    """A file, and what it contains before and after."""

    path: str
    before: str
    after: str


def changes(credentials: str | None, endpoints: str | None, url: str | None) -> list[Change]:
    """Return what must change, nothing if all is there. `url` is the broker's; None: the default.

    Raises:
        SettingsError: a file has an error, or a form to which nothing can be appended.
    """
    found = [_channels(credentials_file(credentials)), _endpoints(endpoints, url)]
    return [change for change in found if change.before != change.after]


def write(change: Change) -> None:
    """Write a file.

    Raises:
        SettingsError: it cannot be written.
    """
    try:
        Path(change.path).write_bytes(change.after.encode())
    except OSError as error:
        raise SettingsError(f"{change.path}: cannot be written: {error.strerror}") from error


def _channels(path: str) -> Change:
    before = _text(path)
    if before and load_credentials(path, strict=False):
        return Change(path, before, before)
    return Change(path, before, _extended(path, before, CHANNEL))


def _endpoints(path: str | None, url: str | None) -> Change:
    path = path or DEFAULT_ENDPOINTS
    if url and "${" not in url:
        broker_settings({"url": url}, "--url")
    before = after = _text(path)
    sections = _data(path, before)
    if not _has_tracker_store(sections.get("tracker_store")):
        after = _with_section(path, after, "tracker_store", TRACKERS)
    if not sections.get("bridge"):
        line = f"url: {url}" if url else DEFAULT
        section = BROKER.format(url=line, namespace=_namespace(path))
        after = _with_section(path, after, "bridge", section)
    return Change(path, before, after)


def _has_tracker_store(section: Any) -> bool:
    # As in Rasa: without a type, it is in memory.
    return bool(section.get("type") if isinstance(section, dict) else section)


def _namespace(path: str) -> str:
    """Return the project's folder as the prefix of its queues."""
    name = re.sub(r"[^a-z0-9_-]+", "-", Path(path).resolve().parent.name.lower()).strip("-")
    return name or "bridge"


def _text(path: str) -> str:
    """Return a file's text with its line ends, "" if there is no file."""
    try:
        return Path(path).read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsError(f"{path}: cannot be read: {reason}") from error


def _data(path: str, text: str) -> dict[str, Any]:
    try:
        data = parse_yaml(text) or {}
    except yaml.YAMLError:
        load_broker(path)  # raises the error that names the line
        raise
    return data if isinstance(data, dict) else {}


def _with_section(path: str, text: str, name: str, section: str) -> str:
    """Return a text with a section: instead of an empty one of that name, or at the end."""
    if name not in _data(path, text):
        return _extended(path, text, section)
    lines = text.splitlines(keepends=True)
    for n, line in enumerate(lines):
        # The key with nothing behind it: it keeps its comments.
        if re.match(rf"""(['"]?){name}\1\s*:\s*([~]|null|\{{\s*\}})?\s*(#.*)?$""", line):
            keys = section.partition(f"{name}:\n")[2]
            lines[n] = f"{name}:\n"
            return _checked(path, text, _joined(["".join(lines[: n + 1]), keys], lines[n + 1 :]))
    raise _not_extended(path, section)


def _extended(path: str, text: str, section: str) -> str:
    end = "" if not text or text.endswith("\n") else "\n"
    gap = "\n" if text.strip() else ""
    return _checked(path, text, _joined([text + end, gap, section]))


def _joined(parts: list[str], rest: list[str] | None = None) -> str:
    """Join parts, with the line ends of the first."""
    text = "".join([*parts, *(rest or [])])
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in text else text


def _checked(path: str, before: str, after: str) -> str:
    """Return a text if it says what it said before, and more."""
    old: dict[str, Any] = _data(path, before)
    new: Any = None
    with suppress(yaml.YAMLError):
        new = parse_yaml(after)
    kept = isinstance(new, dict) and all(new.get(key) == old[key] for key in old if old[key])
    if not kept:
        raise _not_extended(path, after.removeprefix(before))
    return after


def _not_extended(path: str, section: str) -> SettingsError:
    keys = re.findall(r"^\w+(?=:)", section, re.MULTILINE)
    named = ", ".join(f"'{key}'" for key in keys)
    return SettingsError(
        f"{path}: nothing can be appended to it", fix=f"add {named} yourself, see the tutorial"
    )
