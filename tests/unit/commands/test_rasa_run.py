"""Command lines of `rasa run`: every option is accepted by `up`, and reaches its role."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import click
import pytest

from bridge.commands import deliver, logging_options, options, rasa_line, rasa_run, up, webhook
from bridge.errors import SettingsError
from bridge.settings.files import load_credentials
from bridge.telemetry import log_targets
from worker import command as worker


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (log_targets.FILE, log_targets.SYSLOG, rasa_run.SSL_PASSWORD, "LOG_LEVEL"):
        # Set first, so that the test's own changes are undone.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@click.command(cls=rasa_line.RasaCommand)
@rasa_run.model
@rasa_run.connector
@rasa_run.serving
@options.verbosity
def probe(**kwargs: Any) -> dict[str, Any]:
    """Return what a command with all of these options receives."""
    return kwargs


def given(*line: str) -> dict[str, Any]:
    received: dict[str, Any] = probe.main(list(line), standalone_mode=False)
    return received


def names(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def test_up_takes_the_options_and_each_role_its_own() -> None:
    everything = names(probe)
    assert everything <= names(up.command)
    logging_only = {name for name in everything if "log" in name} | {"-v", "--quiet", "--debug"}
    serving = {name for name in everything if "ssl" in name} | {"--cors", "--response-timeout"}
    assert logging_only | serving | {"--connector"} <= names(webhook.command)
    assert logging_only | {"--connector"} <= names(deliver.command)
    assert logging_only | {"--model", "--remote-storage", "model_too"} <= names(worker.command)


@pytest.mark.parametrize(
    ("line", "model"),
    [([], "models"), (["-m", "a"], "a"), (["a.tar.gz"], "a.tar.gz"), (["--debug", "a"], "a")],
)
def test_the_model_may_be_given_without_an_option(line: list[str], model: str) -> None:
    assert given(*line)["model"] == model


def test_the_action_server_is_not_mistaken_for_a_model() -> None:
    with pytest.raises(SettingsError, match="start it as before: rasa run actions"):
        given("actions")


@pytest.mark.parametrize(
    ("line", "environment", "level"),
    [
        ([], None, logging.INFO),
        (["-v"], "ERROR", logging.INFO),
        (["-vv"], None, logging.DEBUG),
        (["--quiet"], "DEBUG", logging.WARNING),
        ([], "debug", logging.DEBUG),
        ([], "ERROR", logging.ERROR),
        ([], "nonsense", logging.INFO),
    ],
)
def test_the_level_is_that_of_rasa(
    line: list[str], environment: str | None, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment:
        monkeypatch.setenv(logging_options.LEVEL, environment)
    assert given(*line)["level"] == level


def test_targets_of_the_log_are_passed_to_child_processes() -> None:
    syslog = ["--use-syslog", "--syslog-address", "logs.example", "--syslog-protocol", "TCP"]
    given("--log-file", "out.log", *syslog)
    assert os.environ[log_targets.FILE] == str(Path("out.log").absolute())
    assert os.environ[log_targets.SYSLOG] == "tcp://logs.example:514"


def test_syslog_is_off_without_its_flag() -> None:
    given("--syslog-address", "logs.example", "--syslog-port", "5140")
    assert log_targets.SYSLOG not in os.environ


def test_the_password_of_the_key_is_not_passed_on_a_command_line() -> None:
    serving = given("--ssl-certificate", "c.pem", "--ssl-password", "hunter2")["serving"]
    assert os.environ[rasa_run.SSL_PASSWORD] == "hunter2"
    assert "hunter2" not in rasa_run.words(serving)
    assert rasa_run.words(serving) == ["--ssl-certificate", "c.pem"]


def test_options_become_words_of_a_command_line() -> None:
    given_options = {"cors": ("a", "b"), "enable_api": True, "off": False, "port": 0, "none": None}
    assert rasa_run.words(given_options) == [
        "--cors",
        "a",
        "--cors",
        "b",
        "--enable-api",
        "--port",
        "0",
    ]


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("--request-timeout", "15 seconds"),
        ("--jwt-private-key", "signs none"),
        ("--logging-config-file", "--log-file"),
    ],
)
def test_an_option_without_effect_says_what_to_do_instead(
    option: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given(option, "5")
    line = capsys.readouterr().err
    assert line.startswith(f"rasa-bridge: {option} has no effect: ")
    assert instead in line
    assert line.count("\n") == 1


def test_one_channel_of_the_file_may_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given("--connector", "rest")["connector"] == "rest"
    monkeypatch.chdir(tmp_path)
    assert load_credentials(None, only="rest") == {"rest": {}}
    Path("credentials.yml").write_text("rest:\n  timeout: 5\nslack:\n  slack_token: ${NOT_SET}\n")
    assert load_credentials(None, only="rest") == {"rest": {"timeout": 5}}
    assert load_credentials(None, only="socketio") == {"socketio": {}}
