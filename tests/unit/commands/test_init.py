"""`rasa-bridge init` adds what a project lacks, and leaves the rest of its files alone."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
        "\ufeff",
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


@pytest.mark.parametrize(
    "text",
    [
        "nlg:\r\n  url: http://x/\r\n",
        "nlg:\n  url: http://x/",
        "tracker_store:\r\nbridge: ~",
        "\ufeff# a comment\n",
        "",
    ],
)
def test_the_diff_that_is_shown_applies(text: str) -> None:
    write("rest:\n", "credentials.yml")
    write(text)
    shown = init("--yes").stdout_bytes.partition(b"written: ")[0]
    written = Path("endpoints.yml").read_bytes()
    write(text)
    if not text:
        Path("endpoints.yml").unlink()
    subprocess.run(["git", "apply", "-p0", "-"], input=shown, check=True)
    assert Path("endpoints.yml").read_bytes() == written


def test_comments_stay_where_they_are() -> None:
    text = "tracker_store: # of all workers\n'bridge': {} # later\n# url: x\n"
    write(text)
    init("--yes")
    lines = Path("endpoints.yml").read_text().splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "tracker_store: # of all workers",
        "'bridge': # later",
        "# url: x",
    ]


@pytest.mark.parametrize("text", ["{nlg: {url: 'http://x/'}}\n", "  nlg:\n    url: x\n"])
def test_what_cannot_be_appended_is_named_in_full(text: str) -> None:
    write(text)
    ran = init("--yes")
    assert isinstance(ran.exception, SettingsError)
    assert ran.exception.fix == (
        "add this yourself: tracker_store: {type: SQL, dialect: sqlite, db: trackers.db}, and:"
        " bridge: {namespace: my-bot}"
    )
    line = "tracker_store: {type: SQL, dialect: sqlite, db: trackers.db}\nbridge: {namespace: a}\n"
    write(line)  # the advice is valid
    assert "endpoints.yml" not in init("--yes").output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("brigde:\n  namespace: x\n", "unknown section 'brigde'; did you mean 'bridge'?"),
        ("bridge:\n  namespce: x\n", "unknown key 'namespce'; did you mean 'namespace'?"),
        ("bridge: []\n", "bridge: it must be a section with keys"),
        ("bridge: false\n", "bridge: it must be a section with keys"),
        ("tracker_store:\n  url: x\n", "without the key 'type', Rasa keeps conversations in"),
        ("tracker_store: redis\n", "without the key 'type', Rasa keeps conversations in memory"),
        ("nlg:\n\turl: x\n", "line 2: not valid YAML: found character '\\t' that cannot start"),
        ("nlg:\n\turl: x\n", "any token; indent with spaces instead of tabs"),
        ("a: b\nnlg: \x07\n", "line 2: not valid YAML: control character U+0007; remove it"),
        ("- a\n", "write each section as 'name:', with its keys indented below it"),
    ],
)
def test_what_is_there_and_wrong_is_told(text: str, says: str) -> None:
    write(text)
    ran = init("--yes")
    assert isinstance(ran.exception, SettingsError), ran.output
    assert says in str(ran.exception)
    assert Path("endpoints.yml").read_text() == text


def test_a_url_beside_another_one_is_refused() -> None:
    init("--yes", "--url", "amqp://one/")
    assert "nothing to add" in init("--yes", "--url", "amqp://one/").output
    ran = init("--yes", "--url", "amqp://two/")
    assert str(ran.exception) == (
        "endpoints.yml: bridge is there, with another url; change the key 'url' yourself"
    )


@pytest.mark.parametrize("url", ["localhost", "amqp://u:p w@host/", "http://host/"])
def test_what_is_no_url_of_a_broker_is_refused(url: str) -> None:
    ran = init("--yes", "--url", url)
    assert str(ran.exception).startswith("--url is not an AMQP URL; write it as amqp://")


@pytest.mark.parametrize("folder", ["true", "null", "2024", "1e3", "---"])
def test_a_folder_of_any_name_is_a_namespace(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(folder).mkdir()
    monkeypatch.chdir(folder)
    init("--yes")
    assert load_broker(None).namespace == (folder if folder != "---" else "bridge")


def test_a_linked_file_is_written_where_it_is_and_named_after_its_project() -> None:
    shared = Path("../shared")
    shared.mkdir()
    (shared / "e.yml").write_text("# shared\n")
    Path("endpoints.yml").symlink_to(shared / "e.yml")
    init("--yes")
    assert Path("endpoints.yml").is_symlink()
    assert "namespace: my-bot" in (shared / "e.yml").read_text()


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_file_as_it_was() -> None:
    text = "# " + "x" * 98 + "\n"
    write("rest:\n", "credentials.yml")
    write(text)
    with _files_of_at_most(150):
        ran = init("--yes")
    assert isinstance(ran.exception, SettingsError)
    assert "endpoints.yml: cannot be written: " in str(ran.exception)
    assert Path("endpoints.yml").read_text() == text


def test_each_written_file_is_named_even_if_the_next_one_fails() -> None:
    ran = init("--yes", "--endpoints", "no/such/folder/endpoints.yml")
    assert str(ran.exception).endswith("; create the folder no/such/folder")
    assert "written: credentials.yml" in ran.output
    assert Path("credentials.yml").exists()


def test_a_file_that_changes_while_it_asks_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    write("rest:\n", "credentials.yml")
    write("# before\n")

    def answered(*_: object, **__: object) -> bool:
        write("# edited meanwhile\n")
        return True

    monkeypatch.setattr("click.confirm", answered)
    ran = init()
    assert str(ran.exception) == "endpoints.yml: it has changed meanwhile; run this again"
    assert Path("endpoints.yml").read_text() == "# edited meanwhile\n"


@pytest.mark.parametrize("ends", [" \n", "\r\n"])
def test_blanks_around_the_url_of_the_environment_do_no_harm(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AMQP_URL", f"amqp://rabbit/{ends}")
    assert load_broker(None).url == "amqp://rabbit/"
