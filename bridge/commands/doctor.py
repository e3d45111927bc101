"""`rasa-bridge doctor`."""

from __future__ import annotations

import dataclasses
import json
import logging

import click

from bridge.commands import options
from bridge.commands.values import FILE


@click.command("doctor")
@options.credentials
@options.endpoints
@click.option(
    "-m",
    "--model",
    type=FILE,
    metavar="PATH",
    help="Trained model: a file, or a folder whose newest model counts.  [default: models]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def command(
    credentials: str | None, endpoints: str | None, model: str | None, as_json: bool
) -> None:
    """Check settings, broker and assistant, and suggest fixes.

    Run it on the machine where a role will run, since it checks what is reachable from there. It
    changes nothing. The exit code is 1 if there is an error; warnings alone leave it at 0.
    """
    from rich.console import Console
    from rich.text import Text

    from bridge.commands.doctor_view import as_table, summary
    from bridge.doctor import run_checks
    from bridge.runtime import role
    from bridge.telemetry import logs

    logs.configure("doctor", logging.CRITICAL)
    findings = role.run(run_checks(credentials, endpoints, model))
    failed = any(f.status == "error" for f in findings)
    if as_json:
        found = [dataclasses.asdict(f) for f in findings]
        click.echo(json.dumps({"ok": not failed, "findings": found}, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        console.print(as_table(findings), width=min(console.width, options.WIDTH))
        console.print(Text(summary(findings)))
    raise SystemExit(1 if failed else 0)
