"""The doctor's findings. tests/integration/test_doctor.py runs the command."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bridge.broker.topology import Topology
from bridge.commands.doctor_view import as_table, summary
from bridge.doctor import assistant, environment
from bridge.doctor.assistant import about_model, check_model, newest_model, trained_with
from bridge.doctor.broker import about_missing, about_version, unreachable
from bridge.doctor.environment import about_versions
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.doctor.settings import check_channels, check_endpoints
from bridge.doctor.tracker_store import check_sqlite, check_tracker_store
from bridge.errors import BrokerUnavailable, LoginRefused
from tests.support.broker import TOP


def write_model(path: Path, metadata: Any, name: str = "metadata.json") -> Path:
    body = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return path


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMQP_URL", raising=False)
    return tmp_path


@pytest.fixture
def no_rasa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistant, "rasa_version", lambda: None)


@pytest.fixture
def rasa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistant, "rasa_version", lambda: "3.6.21")


# ---- broker --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.10.8", "3.13.7"])
def test_rabbitmq_3_is_a_warning_because_workers_are_not_balanced(version: str) -> None:
    finding = about_version(version, "amqp://h/")
    assert (finding.status, finding.fix) == ("warning", "upgrade to RabbitMQ 4")
    assert "not balanced between workers" in finding.text


@pytest.mark.parametrize("version", ["4.0.5", "4.2.0", "10.1.0"])
def test_rabbitmq_4_and_newer_is_ok(version: str) -> None:
    assert about_version(version, "amqp://h/") == ok("broker", f"RabbitMQ {version} at amqp://h/")


@pytest.mark.parametrize(
    ("problem", "fix"),
    [
        (LoginRefused("login refused", fix="fix the password"), "fix the password"),
        (BrokerUnavailable("connection refused"), "start RabbitMQ there, or fix bridge.url"),
    ],
)
def test_the_fix_for_an_unreachable_broker_is_that_of_the_error(
    problem: BrokerUnavailable, fix: str
) -> None:
    assert unreachable(problem) == error("broker", problem.problem, fix)


TOPOLOGY = Topology("ns", inbound_partitions=4, reply_partitions=2, channels=("callback",))


def test_the_missing_queues_of_a_new_channel_are_a_warning() -> None:
    finding = about_missing(TOPOLOGY.reply_queues("callback"))
    assert finding.text == "queues are missing: ns.replies.callback.00, ns.replies.callback.01"
    assert "rasa-bridge topology declare" in finding.fix


# ---- settings ------------------------------------------------------------------------------------


def test_every_wrong_channel_is_an_error_and_the_others_are_still_checked(directory: Path) -> None:
    Path("credentials.yml").write_text(
        "calback:\nrest:\n  timeout: soon\ncallback: {url: 'http://h', incoming_token: t}\n"
    )
    channels, findings = check_channels(None)
    assert list(channels) == ["callback"]
    assert [(f.status, f.subject) for f in findings] == [
        ("error", "credentials"),
        ("error", "credentials"),
        ("ok", "channel callback"),
    ]
    assert "did you mean 'callback'?" in findings[0].fix
    assert "key 'timeout' must be a number" in findings[1].text
    assert findings[2].text == "served at /webhooks/callback/webhook"


def test_an_unknown_key_and_a_file_without_channels_are_warnings(directory: Path) -> None:
    Path("credentials.yml").write_text("rest:\n  timout: 3\n  token: t\n")
    _, (_, unknown) = check_channels(None)
    assert (unknown.status, unknown.subject) == ("warning", "channel rest")
    assert "did you mean 'timeout'?" in unknown.text
    Path("credentials.yml").write_text("")
    _, (empty,) = check_channels(None)
    assert (empty.status, empty.fix) == ("warning", "add one, such as 'rest:'")


def test_a_missing_secret_is_a_warning_that_names_it(directory: Path) -> None:
    Path("credentials.yml").write_text(
        "bot: {channel: telegram, access_token: '1:a', webhook_url: 'https://bot.example/'}\n"
    )
    _, findings = check_channels(None)
    assert [(f.status, f.subject) for f in findings] == [
        ("ok", "channel bot"),
        ("warning", "channel bot"),
    ]
    assert "'secret_token' is missing" in findings[1].text
    assert "telegram" in findings[1].fix


def test_two_channels_with_one_name_are_an_error(directory: Path) -> None:
    Path("credentials.yml").write_text(
        "callback: {url: 'http://h', incoming_token: t}\n"
        "bridge.QueueInput: {channel: callback, url: 'http://h', incoming_token: t}\n"
    )
    _, findings = check_channels(None)
    assert [f.status for f in findings] == ["ok", "error"]
    assert "two channels called 'callback'" in findings[1].text


def test_without_an_endpoints_file_the_defaults_are_used(directory: Path) -> None:
    broker, findings = check_endpoints(None)
    assert broker is not None
    assert findings == [ok("endpoints", "no endpoints.yml: using the defaults")]


def test_a_wrong_endpoints_file_is_one_error_and_yields_no_broker(directory: Path) -> None:
    Path("endpoints.yml").write_text("bridge: {namspace: x}\n")
    broker, (finding,) = check_endpoints(None)
    assert broker is None
    assert finding.status == "error"
    assert "did you mean 'namespace'?" in finding.fix


# ---- model ---------------------------------------------------------------------------------------


def test_the_newest_model_in_a_folder_is_checked(tmp_path: Path) -> None:
    for name, age in (("b.tar.gz", 300), ("a.tar.gz", 100), ("c.tar.gz", 200)):
        path = tmp_path / name
        path.touch()
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    (tmp_path / "notes.txt").touch()
    assert newest_model(tmp_path) == tmp_path / "a.tar.gz"


def test_the_version_is_read_from_the_archive(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.tar.gz", {"rasa_open_source_version": "3.6.20"})
    assert trained_with(model) == "3.6.20"


@pytest.mark.parametrize("name", ["m.tar.gz", "other.bin"])
def test_a_file_that_is_not_an_archive_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"not an archive")
    assert check_model(str(path)).status == "error"


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "m.tar.gz", {"noise": os.urandom(5000).hex()}).read_bytes()
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable model" in check_model(str(path)).text


@pytest.mark.parametrize(
    ("name", "metadata"), [("other.json", {}), ("metadata.json", b"{"), ("metadata.json", [])]
)
def test_an_archive_without_rasas_metadata_is_an_error(
    tmp_path: Path, name: str, metadata: Any
) -> None:
    path = write_model(tmp_path / "m.tar.gz", metadata, name)
    assert check_model(str(path)).status == "error"


def test_without_rasa_a_missing_model_is_ok_unless_it_was_named(
    directory: Path, no_rasa: None
) -> None:
    assert check_model(None).status == "ok"
    assert check_model("models").status == "error"


def test_with_rasa_a_missing_model_is_an_error_that_says_how_to_train(
    directory: Path, rasa: None
) -> None:
    Path("models").mkdir()
    finding = check_model(None)
    assert (finding.status, finding.text) == ("error", "no *.tar.gz in models/")
    assert "rasa train" in finding.fix


def test_a_model_trained_with_another_rasa_is_a_warning() -> None:
    model = Path("m.tar.gz")
    assert about_model(model, "3.5.1", "3.6.21").status == "warning"
    assert about_model(model, "3.6.21", "3.6.21").status == "ok"
    assert about_model(model, "3.5.1", None).status == "ok"


# ---- tracker store -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "section", [{}, {"type": "InMemory"}, {"type": "SQL", "dialect": "sqlite", "db": ":memory:"}]
)
async def test_a_tracker_store_in_memory_is_a_warning_with_a_fix(section: dict[str, Any]) -> None:
    finding = await check_tracker_store(section)
    assert finding.status == "warning"
    assert "not shared by workers" in finding.text
    assert "add a tracker_store" in finding.fix


async def test_an_sql_store_without_a_dialect_is_sqlite(directory: Path) -> None:
    finding = await check_tracker_store({"type": "SQL", "db": "t.db"})
    assert finding.text == "SQLite t.db, which the first worker will create"


async def test_the_path_of_an_sqlite_url_names_the_file(directory: Path) -> None:
    finding = await check_tracker_store({"type": "SQL", "url": "sqlite:///nowhere/t.db"})
    assert finding.status == "error"
    assert finding.text.startswith("SQLite nowhere/t.db: ")


def test_a_database_file_is_opened_and_never_created(directory: Path) -> None:
    assert check_sqlite("t.db").status == "ok"
    assert not Path("t.db").exists()
    connection = sqlite3.connect("t.db")
    connection.execute("CREATE TABLE events (id)")
    connection.close()
    assert check_sqlite("t.db") == ok(
        "tracker store", "SQLite t.db, for workers on one machine only"
    )


def test_a_file_that_is_not_a_database_is_an_error(directory: Path) -> None:
    Path("t.db").write_text("this is a text, and longer than SQLite's header of 100 bytes" * 3)
    assert "not a database" in check_sqlite("t.db").text


def test_a_database_in_a_missing_folder_is_an_error(directory: Path) -> None:
    assert check_sqlite("nowhere/t.db").text.endswith("nowhere does not exist")


async def test_a_custom_store_is_not_checked() -> None:
    assert await check_tracker_store({"type": "my.Store"}) == ok(
        "tracker store", "my.Store (not checked)"
    )


async def test_a_malformed_port_is_an_error() -> None:
    finding = await check_tracker_store({"type": "redis", "url": "localhost", "port": "x"})
    assert finding.status == "error"


# ---- versions, printing --------------------------------------------------------------------------


def test_aio_pika_8_is_a_warning_and_newer_versions_are_not() -> None:
    old = about_versions(["aio-pika 8.2.3"], {"rasa": "3.6.21"}, "8.2.3")
    assert old[-1].status == "warning"
    assert "3.7 times the CPU" in old[-1].text
    assert all(f.status == "ok" for f in about_versions(["aio-pika 10.2"], {}, "10.2"))


@pytest.mark.parametrize(
    ("rasas", "status", "says"),
    [
        ({"rasa": "3.6.20"}, "ok", "rasa 3.6.20"),
        ({"rasa-pro": "3.21.4"}, "ok", "rasa-pro 3.21.4"),
        ({"rasa": "2.8.34"}, "warning", "rasa 2.8.34 is not a version that the bridge is tested"),
        ({"rasa-pro": "3.2.1"}, "warning", "rasa-pro 3.2.1 is not a version that the bridge is"),
        ({"rasa": "3.6.21", "rasa-pro": "3.21.4"}, "error", "rasa and rasa-pro are both installed"),
    ],
)
def test_another_rasa_is_told(rasas: dict[str, str], status: str, says: str) -> None:
    findings = about_versions(["aio-pika 10.2"], rasas, "10.2")
    assert any(f.status == status and says in f.text for f in findings)
    assert sum(f.status != "ok" for f in findings) == (status != "ok")


def test_the_tested_versions_of_rasa_are_those_of_the_extras() -> None:
    text = (TOP / "pyproject.toml").read_text()
    for name, version in environment.TESTED.items():
        assert re.search(rf'^{name} = \["{name}[>=]=({re.escape(version)})\b', text, re.MULTILINE)


def test_the_reported_versions_are_the_installed_ones() -> None:
    import sanic

    assert environment.version_of("sanic") == sanic.__version__
    assert environment.version_of("no-such-distribution") is None


FINDINGS = [
    ok("python", "fine"),
    warning("tracker store", "a long text " * 12, "do [this] at once"),
    error("broker", "amqp://" + "z" * 120),
]


def printed(findings: list[Finding]) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=80, highlight=False).print(as_table(findings))
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_the_table_fits_80_columns_and_spells_the_status_out() -> None:
    lines = printed(FINDINGS)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "✓ ok       python         fine"
    assert any(line.startswith("! warning  tracker store  a long text") for line in lines)
    assert any(line.startswith("✗ error    broker         amqp://") for line in lines)
    assert any(line.endswith("→ do [this] at once") for line in lines)
    assert "".join(lines).count("z") == 120, "nothing is cut off"


@pytest.mark.parametrize(
    ("findings", "text"),
    [
        (FINDINGS[:1], "no problems found"),
        (FINDINGS, "1 error, 1 warning"),
        (FINDINGS[1:2] * 2, "2 warnings"),
    ],
)
def test_the_last_line_counts_errors_and_warnings(findings: list[Finding], text: str) -> None:
    assert summary(findings) == text
