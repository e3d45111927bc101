"""The result of a check, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """`error`: a role would not start, or turns would fail. `warning`: works, with a drawback."""

    status: Status
    subject: str
    text: str
    fix: str = ""
    """What to do; empty if nothing, or if `text` already says so."""


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", subject, text)


def warning(subject: str, text: str, fix: str) -> Finding:
    return Finding("warning", subject, text, fix)


def error(subject: str, text: str, fix: str = "") -> Finding:
    return Finding("error", subject, text, fix)
