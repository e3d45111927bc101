"""`rasa-bridge doctor`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.commands import options
from bridge.doctor import Finding, run_checks
from bridge.runtime import role
from bridge.telemetry import logs

MARKS = {
    "ok": Text("✓ ok", style="green"),
    "warning": Text("! warning", style="yellow"),
    "error": Text("✗ error", style="red"),
}
WIDTH = 100
"""Columns at most: longer lines are hard to read."""


@click.command("doctor")
@options.credentials
@options.endpoints
@click.option(
    "-m",
    "--model",
    metavar="FILE",
    help="Trained model: a file, or a folder whose newest one is taken.  [default: models]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, for scripts.")
def command(
    credentials: str | None, endpoints: str | None, model: str | None, as_json: bool
) -> None:
    """Check the settings, the broker and the assistant, and say what to do.

    It looks from here, so run it where a role runs. It changes nothing. The exit code is 0 if
    there is no error; warnings are allowed.
    """
    logs.configure("doctor", logging.CRITICAL)
    findings = role.run(run_checks(credentials, endpoints, model))
    errors = sum(f.status == "error" for f in findings)
    if as_json:
        found = [dataclasses.asdict(f) for f in findings]
        click.echo(json.dumps({"ok": not errors, "findings": found}, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        console.print(as_table(findings), width=min(console.width, WIDTH))
        console.print(Text(summary(findings)))
    raise SystemExit(1 if errors else 0)


def as_table(findings: Sequence[Finding]) -> Table:
    """One line a finding where it fits; what to do comes beneath it, after an arrow."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=max(len(mark) for mark in MARKS.values()))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = finding.text + (f"\n→ {finding.fix}" if finding.fix else "")
        table.add_row(MARKS[finding.status], Text(finding.subject), Text(text))
    return table


def summary(findings: Sequence[Finding]) -> str:
    """How many errors and warnings there are, in words."""
    errors = sum(f.status == "error" for f in findings)
    warnings = sum(f.status == "warning" for f in findings)
    if not errors and not warnings:
        return "all is well"
    counts = [_count(errors, "error")] if errors else []
    counts += [_count(warnings, "warning")] if warnings else []
    return ", ".join(counts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
