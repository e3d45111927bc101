"""The words of a log line, and their limits: ids and messages may come from outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

LONGEST_ID = 300
LONGEST_LINE = 2000
"""Characters of an id and of a message that are logged, so that no line is too long for a
collector."""
_PLAIN = r"[\w:.,/+@-]"
_is_plain = re.compile(f"{_PLAIN}+", re.ASCII).fullmatch
_QUOTED = re.compile(r"[\s'\"=]")
"""What a word of a line contains only between quotes."""


def escaped(text: str) -> str:
    """Return a text without control characters: a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def cut(text: str, most: int) -> str:
    """Return a text without what exceeds `most` characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def words(ids: Mapping[str, object]) -> str:
    """Return ids as words of a line, each behind a blank; no text in one can look like another."""
    form, are_plain = _form(tuple(ids))
    words = form % tuple(ids.values())
    if are_plain(words):
        return words
    return "".join([f" {name}={_word(id)}" for name, id in ids.items()])


@lru_cache(maxsize=256)
def _form(names: tuple[str, ...]) -> tuple[str, Callable[[str], object]]:
    """Return how ids with these names are written, and what tells that none needs quotes: a blank
    or `=` of an id would be one too many."""
    plain = "".join([f" {name}={_PLAIN}{{1,{LONGEST_ID}}}" for name in names])
    return "".join([f" {name}=%s" for name in names]), re.compile(plain, re.ASCII).fullmatch


def _word(id: object) -> str:
    """Return an id as one word: it came from outside and may contain line ends or worse."""
    text = str(id)
    if len(text) > LONGEST_ID and isinstance(id, str):
        text = cut(text, LONGEST_ID)
    if _is_plain(text):
        return text
    return text if text.isprintable() and not _QUOTED.search(text) else repr(text)
