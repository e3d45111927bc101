"""Texts from messages, services and other processes, as a terminal may show them."""

from __future__ import annotations

from rich.text import Text


def printable(text: str) -> str:
    """Return a text with control characters escaped: terminals obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(text: str, style: str = "") -> Text:
    """Return a text to print, without rich's markup."""
    return Text(printable(text), style=style)
