"""`rasa-bridge init` adds what a project lacks, and leaves the rest of its files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli import cli
from bridge.errors import SettingsError
from bridge.settings.files import load_broker, load_credentials, load_endpoint

STOCK = """\
# This file contains the different endpoints your bot can use.

#models:
#  url: http://my-server.com/models/default_core@latest

action_endpoint:
  url: "http://localhost:5055/webhook"   # keep me
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "My Bot"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("AMQP_URL", raising=False)


def write(text: str, name: str = "endpoints.yml") -> None:
    Path(name).write_bytes(text.encode())


def init(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments], input=input)


def test_a_stock_project_gets_both_sections_and_keeps_its_text() -> None:
    write(STOCK)
    write("rest:\n", "credentials.yml")
    ran = init("--yes")
    assert ran.exit_code == 0, ran.output
    text = Path("endpoints.yml").read_text()
    assert text.startswith(STOCK)
    assert load_broker(None).namespace == "my-bot"
    assert load_endpoint(None, "tracker_store")["dialect"] == "sqlite"
    assert "+  namespace: my-bot" in ran.output
    assert "credentials.yml" not in ran.output
    assert "next: rasa-bridge doctor" in ran.output


def test_a_second_run_changes_nothing() -> None:
    init("--yes")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    ran = init("--yes")
    assert "nothing to add" in ran.output
    assert before == {path.name: path.read_bytes() for path in Path().iterdir()}


def test_an_empty_folder_becomes_a_project() -> None:
    ran = init("--yes", "--url", "amqp://rabbit/")
    assert ran.exit_code == 0, ran.output
    assert load_credentials(None) == {"rest": {}}
    assert load_broker(None).url == "amqp://rabbit/"


@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("\n", True), ("n\n", False)])
def test_it_asks_before_it_writes(answer: str, written: bool) -> None:
    assert init(input=answer).exit_code == (0 if written else 1)
    assert Path("endpoints.yml").exists() == written


def test_without_a_terminal_it_says_how_to_confirm() -> None:
    ran = init(input="")
    assert isinstance(ran.exception, SettingsError)
    assert ran.exception.fix == "confirm it with --yes"
    assert not Path("endpoints.yml").exists()


@pytest.mark.parametrize(
    "text",
    [
        "tracker_store:\n",
        "tracker_store: # later\n\nmodels:\n",
        "tracker_store: ~\nnlg:\n  url: http://x/\n",
        "bridge:\n",
        "nlg:\n  url: http://x/",
        "# only a comment",
        "---\nnlg:\n  url: http://x/\n",
        "nlg:\r\n  url: http://x/\r\n",
        "\ufeffnlg:\n  url: http://x/\n",
    ],
)
def test_every_form_of_a_file_can_be_extended_once(text: str) -> None:
    write(text)
    assert init("--yes").exit_code == 0
    after = Path("endpoints.yml").read_bytes().decode()
    assert load_broker(None).namespace == "my-bot"
    assert load_endpoint(None, "tracker_store")["type"] == "SQL"
    assert load_endpoint(None, "nlg") == ({"url": "http://x/"} if "nlg" in text else {})
    assert ("\r\n" in after) == ("\r\n" in text)
    assert not after.replace("\r\n", "").count("\r")
    assert "nothing to add" in init("--yes").output


def test_what_is_there_stays() -> None:
    text = "bridge:\n  namespace: shop\ntracker_store:\n  type: redis\n  url: r\n"
    write(text)
    write("slack:\n  slack_token: ${SLACK_TOKEN}\n", "credentials.yml")
    assert "nothing to add" in init("--yes").output
    assert Path("endpoints.yml").read_text() == text


@pytest.mark.parametrize("text", ["{nlg: {url: 'http://x/'}}\n", "nlg: {url: x}\n...\n", "- a\n"])
def test_a_file_to_which_nothing_can_be_appended_is_left_alone(text: str) -> None:
    write(text)
    ran = init("--yes")
    assert isinstance(ran.exception, SettingsError), ran.output
    assert Path("endpoints.yml").read_text() == text


def test_variables_may_be_unset_while_it_runs() -> None:
    write("rest:\n  token: ${NO_SUCH_TOKEN}\n", "credentials.yml")
    for _ in "ab":
        assert init("--yes", "--url", "${NO_SUCH_URL}").exit_code == 0
    assert "url: ${NO_SUCH_URL}" in Path("endpoints.yml").read_text()


def test_an_error_of_the_file_is_told_as_everywhere() -> None:
    write("nlg: {}\nnlg: {}\n")
    ran = init("--yes")
    assert isinstance(ran.exception, SettingsError)
    assert "line 2: key 'nlg' is already on line 1" in str(ran.exception)
