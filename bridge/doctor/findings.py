"""What a check found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """`error`: a role would refuse to start, or turns would fail; `warning`: it works, but."""

    status: Status
    subject: str
    text: str
    fix: str = ""
    """What to do; empty where there is nothing to do, or where `text` says it."""


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", subject, text)


def warning(subject: str, text: str, fix: str) -> Finding:
    return Finding("warning", subject, text, fix)


def error(subject: str, text: str, fix: str = "") -> Finding:
    return Finding("error", subject, text, fix)
