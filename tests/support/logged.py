"""Collects what the suite logs, and what must not appear in a log.

Logged: the output of roles and commands, and the log lines of bridge and worker in this process.
Private: sentences that tests and connectors send over HTTP or that fake services receive; strings
in credentials.yml; tokens and signatures of requests.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest

from bridge.telemetry.logs import Console

SHORTEST = 8
"""Characters other than digits. A shorter text may appear in a line by chance."""
LONGEST = 60
"""Characters compared: a line may contain only the beginning of a text."""

HARMLESS = {"channel", "errors_ignore_retry", "turns"}
"""Keys of credentials.yml whose values may be logged."""

FILES: list[Path] = []
PRINTED = io.StringIO()
PRIVATE: set[str] = set()
"""Texts with every number replaced by 0, as in the searched lines: texts that differ only in
numbers count once, and so do lines from the same place in the code."""


def note_text(said: Any) -> None:
    """Record every sentence in a text or a JSON value. Single words may be ids or types."""
    _note(text for text in _strings(said) if re.search(r"\w{2}\W*\s\W*\w{2}", text))


def note_secret(secret: Any) -> None:
    """Record every string in a text or a JSON value, except addresses and ${VARIABLE}s."""
    _note(text for text in _strings(secret) if not re.match(r"\w+://|\$\{", text))


def _note(texts: Iterable[str]) -> None:
    for text in texts:
        beginning = _without_numbers(text.strip()[:LONGEST])
        if len(beginning.replace("0", "")) >= SHORTEST:
            PRIVATE.add(beginning)


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in HARMLESS:
                yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def leaks(lines: Iterable[str], private: Iterable[str]) -> list[str]:
    """Return each line that contains something private, together with that text."""
    by_kind = {_without_numbers(line): line for line in lines}
    texts = {*map(_without_numbers, private)}
    size = min(map(len, texts), default=0)
    by_beginning: dict[str, list[str]] = {}
    for text in texts:
        by_beginning.setdefault(text[:size], []).append(text)
    # Looking for each of the thousands of texts would take ten times as long.
    found = {
        (text, kind)
        for kind in by_kind
        for start in range(len(kind) - size + 1)
        for text in by_beginning.get(kind[start : start + size], ())
        if kind.startswith(text, start)
    }
    return [f"{text!r} in: {by_kind[kind]}" for text, kind in sorted(found)]


def check() -> None:
    """Fail if a log contains anything private."""
    logged = [PRINTED.getvalue(), *(p.read_text(errors="replace") for p in FILES if p.exists())]
    found = leaks((line for log in logged for line in log.splitlines()), PRIVATE)
    assert not found, "private texts in the logs:\n" + "\n".join(found[:20])


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start to record what this process logs and sends."""
    handler = logging.StreamHandler(PRINTED)
    handler.setFormatter(Console("test"))
    for ours in map(logging.getLogger, ("bridge", "worker")):
        ours.addHandler(handler)
        ours.setLevel(logging.DEBUG)
    request = aiohttp.ClientSession._request

    async def noted(session: Any, method: str, url: Any, **options: Any) -> Any:
        note_text(options.get("json"))
        note_text(_parsed(options.get("data")))
        return await request(session, method, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noted)


def _parsed(data: Any) -> Any:
    if not isinstance(data, (bytes, str)):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        text = data.decode(errors="replace") if isinstance(data, bytes) else data
        return [value for _, value in parse_qsl(text)]
