"""Everything that the suite logs, and everything that must not be in it.

Both are noted while the tests run. Logged: what roles and commands print, and what bridge and
worker log in this process. Private: sentences in whatever tests and connectors send over HTTP and
fake services are told; strings of credentials.yml; tokens and signatures of requests.
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
"""Characters that are no digits; what is shorter may stand in a line by chance."""
LONGEST = 60
"""Characters that are looked for: a line may hold the beginning of a text."""

HARMLESS = {"channel", "errors_ignore_retry"}
"""Keys of credentials.yml whose values may be logged."""

FILES: list[Path] = []
PRINTED = io.StringIO()
PRIVATE: set[str] = set()
"""With every number as 0, as the lines that are searched: what differs in numbers only is the same
text, or comes from the same line of code."""


def note_text(said: Any) -> None:
    """Note every sentence in a text or a JSON value; single words are ids and types, too."""
    _note(text for text in _strings(said) if re.search(r"\w{2}\W*\s\W*\w{2}", text))


def note_secret(secret: Any) -> None:
    """Note every string in a text or a JSON value, but for addresses and ${VARIABLE}s."""
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
    """Return the lines that hold something private, each with what that is."""
    by_kind = {_without_numbers(line): line for line in lines}
    everything = "\n".join(by_kind)
    guilty = [text for text in map(_without_numbers, private) if text in everything]
    return [
        f"{text!r} in: {line}" for kind, line in by_kind.items() for text in guilty if text in kind
    ]


def check() -> None:
    """Fail if anything private is in anything that was logged."""
    logged = [PRINTED.getvalue(), *(p.read_text(errors="replace") for p in FILES if p.exists())]
    found = leaks((line for log in logged for line in log.splitlines()), PRIVATE)
    assert not found, "private, and logged:\n" + "\n".join(found[:20])


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to note what is logged and sent in this process."""
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
