"""Lets rasa-pro check its licence, in a separate process: this package imports no rasa."""

from __future__ import annotations

import asyncio
import sys

from bridge.doctor.environment import version_of
from bridge.doctor.findings import Finding, error, ok, warning

SUBJECT = "rasa-pro licence"
FIX = "the Developer Edition is free: https://rasa.com/docs/pro/intro"
CHECK = """
from rasa.cli.project_env import load_project_dotenv
from rasa.utils.licensing import validate_license_from_env
load_project_dotenv()
validate_license_from_env()
"""
"""What `rasa run` does. It ends with a text and exit code 1 if there is no valid licence."""
TIMEOUT = 120.0
"""Seconds for the import of rasa-pro, on a busy machine."""


async def check_licence() -> list[Finding]:
    """Return what rasa-pro says of its licence; nothing if it is not installed."""
    if version_of("rasa-pro") is None:
        return []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "ignore",
        "-c",
        CHECK,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), TIMEOUT)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return [warning(SUBJECT, f"rasa-pro did not answer in {TIMEOUT:g} s", "try again")]
    return [about_licence(process.returncode or 0, errors.decode(errors="replace"))]


def about_licence(code: int, errors: str) -> Finding:
    """Return the finding for the exit code of rasa-pro's check and what it wrote to stderr."""
    if code == 0:
        return ok(SUBJECT, "valid")
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return error(SUBJECT, lines[-1].rstrip(".") if lines else f"exit code {code}", FIX)
