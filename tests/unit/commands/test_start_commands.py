"""Start commands of public Rasa projects, with `rasa-bridge up` in the place of `rasa run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from bridge.cli import cli
from bridge.commands import up
from bridge.http import listening
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
    monkeypatch.setattr(listening, "check", lambda *_: None)
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
        ("--m out --p 80 --log-f out.log --cred credentials.yml", "--port 80", "--model out"),
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


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        (
            "up \u2013enable-api",
            "'\u2013enable-api' begins with a dash that is no hyphen;",
        ),
        ("up -p 80 -\u2013cors *", "begins with a dash that is no hyphen; write --cors"),
        ("up \u2014p 80", "begins with a dash that is no hyphen; write -p"),
        ("up --host 0.0.0.0 -p 80", "No such option '--host'; write -i or --interface"),
        ("up -m models --num-threads 4", "'--num-threads'; leave it out: start more workers"),
        ("up -d models/dialogue -u models/nlu", "No such option '-d'; write -m and the trained"),
        ("up -p $PORT", "'$PORT' is not a port: a shell replaces variables; in a Dockerfile"),
        ("up --port=${PORT:-5005}", "'${PORT:-5005}' is not a port: a shell replaces variables"),
        ("up -p 5005:8080", "'5005:8080' is not a port: write one number"),
        ("up -p 99999", "99999 is not in the range 1<=x<=65535"),
        ("run --enable-api", "'rasa-bridge up' takes the options of 'rasa run'"),
        ("run actions --port 5055", "'run actions' is a command of Rasa: write 'rasa run actions'"),
        ("shell --debug", "'shell' is a command of Rasa: write 'rasa shell', as before"),
        ("train", "'train' is a command of Rasa: write 'rasa train', as before"),
        ("tran", "No such command 'tran'. Did you mean 'trace'?"),
    ],
)
def test_a_start_command_is_refused_with_a_line_that_names_the_fix(
    line: str, fix: str, started: list[Any]
) -> None:
    Path("credentials.yml").write_text("rest:\n")
    with pytest.raises(click.UsageError) as refused:
        cli.main(line.split(), standalone_mode=False)
    assert fix in refused.value.format_message()
    assert started == []
