"""Start commands of public Rasa projects, with `rasa-bridge up` in the place of `rasa run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.commands import up
from bridge.runtime import imports, processes, role
from bridge.telemetry import log_targets, logs


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[processes.Program]:
    """The programs that `up` would run."""
    programs: list[processes.Program] = []

    class Recorder:
        def __init__(self, given: list[processes.Program], *_: Any) -> None:
            programs.extend(given)

        def run(self) -> int:
            return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "Supervisor", Recorder)
    monkeypatch.setattr(imports, "refuse_missing_rasa", lambda: None)
    monkeypatch.setattr(role, "run", lambda code: code)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setenv(log_targets.FILE, "")
    return programs


def roles(line: str, programs: list[processes.Program]) -> dict[str, str]:
    """Return the command line of each role."""
    with pytest.raises(SystemExit) as end:
        up.command.main(line.split(), standalone_mode=False)
    assert end.value.code == 0
    return {
        program.name: " ".join(program.command).partition("__main__.py ")[2] for program in programs
    }


@pytest.mark.parametrize(
    ("line", "webhook", "worker"),
    [
        (
            "--enable-api --cors * --debug",
            "--cors * --debug --enable-api",
            "--model models --debug",
        ),
        (
            "-i 0.0.0.0 -p 8080 --enable-api --cors=*",
            "--port 8080 --interface 0.0.0.0 --cors *",
            "",
        ),
        ("-m out/nlu.tar.gz --cors a.example b.example", "--cors a.example --cors b.example", ""),
        (
            "models/m.tar.gz -vv --log-file out.log --port 80",
            "--port 80",
            "--model models/m.tar.gz",
        ),
        ("--enable-api --auth-token=t --cred credentials.yml", "--auth-token t", ""),
        (
            "--connector rest --endpoints endpoints.yml",
            "--connector rest",
            "--endpoints endpoints.yml",
        ),
        ("-m models --enable-api --jwt-secret s --jwt-method HS512", "--jwt-method HS512", ""),
    ],
)
def test_a_start_command_reaches_every_role(
    line: str, webhook: str, worker: str, started: list[processes.Program]
) -> None:
    Path("credentials.yml").write_text("rest:\nrasa:\n  url: http://localhost:5002/api\n")
    lines = roles(line, started)
    assert list(lines) == ["webhook", "worker", "deliver"]
    assert set(webhook.split()) <= set(lines["webhook"].split())
    assert set(worker.split()) <= set(lines["worker"].split())
    assert ("--connector rest" in lines["deliver"]) == ("--connector" in line)


def test_the_api_alone_needs_no_credentials_and_no_deliver(
    started: list[processes.Program],
) -> None:
    assert list(roles("--enable-api", started)) == ["webhook", "worker"]


def test_without_the_api_a_missing_file_is_an_error(started: list[Any]) -> None:
    with pytest.raises(Exception, match="credentials.yml: no such file"):
        up.command.main([], standalone_mode=False)
    assert started == []
