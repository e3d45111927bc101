"""What a terminal may be sent: colours if it wants them, and characters that it has."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from io import TextIOWrapper
from typing import TextIO

PLAIN = {"✓": "+", "✗": "x", "→": "->", "…": "...", "≥": ">=", "≤": "<=", "│": "|", "─": "-"}
PLAIN |= {"–": "-", "—": "-", "·": ".", "•": "*", "×": "x", "━": "-", "╸": "-", "╺": "-", "’": "'"}
"""Our signs, for a terminal whose encoding does not have them."""
SUBSTITUTE = "rasa-bridge-plain"


def colours() -> bool | None:
    """Return whether texts have colours wherever they go; None: on a terminal only."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def in_colour(stream: TextIO) -> bool:
    """Return whether a text on a stream may have colours."""
    wanted = colours()
    return stream.isatty() if wanted is None else wanted


def accept_any_text() -> None:
    """Let stdout and stderr print what their encoding does not have, instead of raising."""
    codecs.register_error(SUBSTITUTE, _substituted)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=SUBSTITUTE)


def _substituted(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter: str) -> str:
    """Return an ASCII text for a character: `e` for é, else an escape that tells which it was."""
    base = unicodedata.normalize("NFKD", letter)[0]
    return PLAIN.get(letter) or (base if base.isascii() else f"\\u{ord(letter):04x}")
