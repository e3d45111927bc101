"""The units are valid, start roles that exist, and leave them time to stop."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bridge.cli import cli
from tests.support.broker import TOP

UNITS = TOP / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))


def command_of(unit: Path) -> list[str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    assert parser["Service"]["Type"] == "notify"
    return shlex.split(parser["Service"]["ExecStart"].replace("%i", "1"))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_starts_a_role_and_its_stop_is_longer_than_the_grace_period(unit: Path) -> None:
    program, name, *options = command_of(unit)
    assert program == "/opt/rasa-bridge/bin/rasa-bridge"
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = command.make_context(name, options)
    grace = context.params.get("grace", 0.0)
    lines = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
    # Draining, then closing: the second may take as long (`runtime.processes`).
    assert float(lines["TimeoutStopSec"]) >= 2 * grace + 5
    assert lines["RestartPreventExitStatus"] == "2"
    assert lines["EnvironmentFile"] == f"/etc/rasa-bridge/{name}.env"


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_no_role_reads_the_secrets_of_another_or_writes_to_the_project(unit: Path) -> None:
    text, (_, role, *_) = unit.read_text(), command_of(unit)
    assert f"User=rasa-bridge-{role}\n" in text
    for line in ("ProtectProc=invisible", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert f"\n{line}\n" in text
    assert "ReadWritePaths" not in text


def test_each_role_has_a_port_for_its_metrics() -> None:
    ports = [command_of(unit)[command_of(unit).index("--metrics-port") + 1] for unit in SERVICES]
    assert len({*ports}) == len(SERVICES)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():
        # systemd looks for the program.
        text = unit.read_text().replace("/opt/rasa-bridge/bin/rasa-bridge", sys.executable)
        (tmp_path / unit.name).write_text(text)
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")
