"""How the doctor's findings look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bridge.doctor.findings import Finding

MARKS = {
    "ok": Text("✓ ok", style="green"),
    "warning": Text("! warning", style="yellow"),
    "error": Text("✗ error", style="red"),
}


def as_table(findings: Sequence[Finding]) -> Table:
    """Return one row per finding; its fix, if any, follows on a new line after an arrow."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=max(len(mark) for mark in MARKS.values()))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = finding.text + (f"\n→ {finding.fix}" if finding.fix else "")
        table.add_row(MARKS[finding.status], Text(finding.subject), Text(text))
    return table


def summary(findings: Sequence[Finding]) -> str:
    """Return the number of errors and warnings in words."""
    errors = sum(f.status == "error" for f in findings)
    warnings = sum(f.status == "warning" for f in findings)
    if not errors and not warnings:
        return "no problems found"
    counts = [_count(errors, "error")] if errors else []
    counts += [_count(warnings, "warning")] if warnings else []
    return ", ".join(counts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
