"""What a Rasa project needs before its first start behind the bridge, added to its files as text.

Text, not data: comments, order and quotes of the user's files stay as they are.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from bridge.errors import SettingsError
from bridge.settings.files import (
    DEFAULT_ENDPOINTS,
    amqp_urls,
    credentials_file,
    load_broker,
    load_credentials,
)
from bridge.settings.reading import read_text
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
    """Write a file as a whole, or leave it as it was.

    In place, so that owner, mode and links stay, and a file that is a mount can be written.

    Raises:
        SettingsError: it cannot be written, or is not what it was any more.
    """
    path = Path(change.path)
    before = change.before.encode()
    try:
        exists = path.exists()
        with open(path, "r+b" if exists else "wb", buffering=0) as file:
            if exists and file.read() != before:
                raise SettingsError(f"{path}: it has changed meanwhile", fix="run this again")
            try:
                _overwrite(file, change.after.encode())
            except OSError:
                _overwrite(file, before)
                raise
    except OSError as error:
        fix = "make it writable" if path.parent.exists() else f"create the folder {path.parent}"
        raise SettingsError(f"{path}: cannot be written: {error.strerror}", fix=fix) from error


def _overwrite(file: BinaryIO, content: bytes) -> None:
    file.seek(0)
    while content:
        content = content[file.write(content) :]
    file.truncate()


def _channels(path: str) -> Change:
    before = _text(path)
    if before and load_credentials(path, strict=False):
        return Change(path, before, before)
    return Change(path, before, _with_sections(path, before, {"rest": CHANNEL}))


def _endpoints(path: str | None, url: str | None) -> Change:
    path = path or DEFAULT_ENDPOINTS
    if url and "${" not in url:
        amqp_urls("--url", (url,))
    before = _text(path)
    if before:
        load_broker(path, strict=False)  # what is there must be right
    present = _data(before)
    sections = {}
    if not _has_tracker_store(path, present.get("tracker_store")):
        sections["tracker_store"] = TRACKERS
    if not present.get("bridge"):
        line = f"url: {url}" if url else DEFAULT
        sections["bridge"] = BROKER.format(url=line, namespace=_namespace(path))
    elif url and present["bridge"].get("url") != _data(f"url: {url}")["url"]:
        raise SettingsError(
            f"{path}: bridge is there, with another url", fix="change the key 'url' yourself"
        )
    return Change(path, before, _with_sections(path, before, sections))


def _has_tracker_store(path: str, section: Any) -> bool:
    if not section:
        return False
    if not isinstance(section, dict) or not section.get("type"):
        raise SettingsError(
            f"{path}: tracker_store: without the key 'type', Rasa keeps conversations in memory",
            fix="add it, for example 'type: SQL', or remove the section",
        )
    return True


def _namespace(path: str) -> str:
    """Return the project's folder as the prefix of its queues."""
    name = re.sub(r"[^a-z0-9_-]+", "-", Path(path).parent.resolve().name.lower()).strip("-")
    # A folder may be called `true`.
    return (name if isinstance(parse_yaml(name), str) else f'"{name}"') if name else "bridge"


def _text(path: str) -> str:
    """Return a file's text with its line ends, "" if there is no file."""
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""


def _data(text: str) -> dict[str, Any]:
    data = parse_yaml(text)
    return data if isinstance(data, dict) else {}


def _with_sections(path: str, before: str, sections: dict[str, str]) -> str:
    """Return a text with more sections, each instead of an empty one of that name, or at the end.

    Raises:
        SettingsError: the text would not say any more what it said before.
    """
    after = before
    for name, section in sections.items():
        after = _with_section(after, name, section)
    old: dict[str, Any] = _data(before)
    new: Any = None
    with suppress(yaml.YAMLError):
        new = parse_yaml(after)
    kept = isinstance(new, dict) and all(new.get(key) == old[key] for key in old if old[key])
    if not kept or not all(name in new for name in sections):
        lines = ", and: ".join(map(_on_one_line, sections.values()))
        raise SettingsError(
            f"{path}: nothing can be appended to it", fix=f"add this yourself: {lines}"
        )
    return after


def _with_section(text: str, name: str, section: str) -> str:
    lines = text.splitlines(keepends=True)
    for n, line in enumerate(lines):
        # The key with nothing behind it: it keeps its comments.
        empty = rf"""((['"]?){name}\2\s*:)\s*(?:~|null|\{{\s*\}})?\s*(#.*)?$"""
        if found := re.match(empty, line.rstrip("\r\n")):
            keys = section.partition(f"{name}:\n")[2]
            lines[n] = f"{found[1]} {found[3] or ''}".rstrip() + "\n"
            return _joined(["".join(lines[: n + 1]), keys, *lines[n + 1 :]])
    end = "" if not text or text.endswith("\n") else "\n"
    gap = "\n" if text.strip("\ufeff \r\n") else ""
    return _joined([text + end, gap, section])


def _joined(parts: list[str]) -> str:
    """Join parts, with the line ends of the first."""
    text = "".join(parts)
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in text else text


def _on_one_line(section: str) -> str:
    """Return a section in a form that can stand anywhere: `rest:`, `bridge: {namespace: bot}`."""
    first, *keys = [line for line in section.splitlines() if not line.lstrip().startswith("#")]
    return f"{first} {{{', '.join(map(str.strip, keys))}}}" if keys else first
