"""Removes the bot's own name from what a user wrote in a room, where it only addresses the bot."""

from __future__ import annotations

import re


def without_mention(text: str, name: str | None) -> str:
    """Return a text without `@name`; upper and lower case are the same."""
    if not name or f"@{name.lower()}" not in text.lower():
        return text
    mention = rf"(?<!\w)@{re.escape(name)}(?![\w.-]*\w)[:,]?"
    # Between two words, one space goes with it.
    return re.sub(rf"(?<=\s){mention}\s?|{mention}", "", text, flags=re.IGNORECASE).strip()
