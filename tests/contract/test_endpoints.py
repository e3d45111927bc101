"""endpoints.yml as Rasa gets it from a worker, and what a worker says if Rasa cannot use it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import SettingsError
from tests.acceptance.stack import MODEL
from worker import agent as rasa_agent, compat, start

rasa_3_6 = pytest.mark.skipif(compat.IS_PRO, reason="rasa-pro reads the file itself")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_PASSWORD", "")
    monkeypatch.setenv("DB_PORT", "6380")
    monkeypatch.delenv("NOT_SET", raising=False)


def read(text: str) -> Any:
    Path("endpoints.yml").write_text(text)
    return compat.read_endpoints("endpoints.yml", "models")


@rasa_3_6
def test_every_section_reaches_rasa_as_in_its_own_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOT_SET", "set for Rasa, which reads the whole file")
    text = (
        "action_endpoint: {url: 'http://a:5055/webhook', token: 010, headers: {X-A: 1}}\n"
        "nlg: {url: 'http://n/', type: my.Generator}\nnlu: {url: 'http://n2'}\n"
        "models: {url: 'http://m', wait_time_between_pulls: 10, basic_auth: {username: a}}\n"
        "lock_store: {type: redis, url: r, port: 6379, db: 0x1}\n"
        "event_broker: {url: rabbit, username: u, queues: [a, b], ssl_keyfile: yes}\n"
        "tracker_store:\n  store_type: mongod\n  url: mongodb://${DB_PORT}/?a=b\n"
        "  password: ${DB_PASSWORD}\n  ttl: 1.5e3\n  use_ssl: true\n  day: ~\n"
        "bridge: {api: {auth_token: $NOT_SET}}\nmodel_groups: [{id: x}]\n"
    )
    ours = read(text)
    theirs = compat.AvailableEndpoints.read_endpoints("endpoints.yml")
    for name in compat.SECTIONS:
        assert vars(getattr(ours, name)) == vars(getattr(theirs, name))
        kwargs = getattr(ours, name).kwargs.values()
        assert {type(value) for value in kwargs} <= {str, int, float, bool, list, type(None)}


@rasa_3_6
def test_a_worker_needs_no_variable_of_the_webhook() -> None:
    store = "tracker_store: {type: redis}\n"
    assert (
        read(f"{store}bridge:\n  api:\n    auth_token: ${{NOT_SET}}\n").tracker_store.type
        == "redis"
    )
    with pytest.raises(SettingsError, match="endpoints.yml: nlg: .*NOT_SET is not set"):
        read(f"{store}nlg:\n  url: ${{NOT_SET}}\n")


@rasa_3_6
def test_without_a_file_rasa_gets_its_defaults() -> None:
    endpoints = compat.read_endpoints(None, "models")
    assert not any(vars(endpoints).values())


@pytest.mark.parametrize(
    ("section", "shown"),
    [
        ("tracker_store: {type: SQL, dialect: nosuchsql}", "NoSuchModuleError: "),
        ("tracker_store: {type: SQL, url: 'oracle+x://me:secret@h/d'}", "NoSuchModuleError"),
    ],
)
@rasa_3_6
async def test_a_store_that_cannot_be_opened_is_one_line_without_its_password(
    section: str, shown: str
) -> None:
    available = read(section)
    with pytest.raises(SettingsError, match=f"cannot be used: {shown}") as failed:
        await rasa_agent._load("models", "models", available, None)
    assert "rasa-bridge doctor" in str(failed.value)
    assert "secret" not in str(failed.value)
    assert "\n" not in str(failed.value)


@rasa_3_6
async def test_a_driver_that_is_missing_is_named_as_the_fix() -> None:
    available = read("tracker_store: {type: SQL, dialect: mssql+pymssql}")
    with pytest.raises(SettingsError, match="No module named 'pymssql'; install the package"):
        await rasa_agent._load("models", "models", available, None)


@rasa_3_6
async def test_a_component_that_cannot_be_imported_is_named() -> None:
    with tarfile.open(MODEL) as trained, tarfile.open("model.tar.gz", "w:gz") as moved:
        for member in trained:
            file = trained.extractfile(member)
            data = file.read() if file else b""
            if member.name.endswith("metadata.json"):
                data = data.replace(b"rasa.nlu.tokenizers.whitespace_tokenizer", b"our.tokenizers")
            member.size = len(data)
            moved.addfile(member, io.BytesIO(data))
    problem = "'our.tokenizers.WhitespaceTokenizer' .*No module named 'our'.; start in the folder"
    with pytest.raises(SettingsError, match=problem):
        await rasa_agent._load("model.tar.gz", "model.tar.gz", read(""), None)
    Path("model.tar.gz").write_bytes(b"no archive")  # noqa: ASYNC240
    with pytest.raises(SettingsError, match="no model that this version of rasa can load .*train"):
        await rasa_agent._load("model.tar.gz", "model.tar.gz", read(""), None)


def test_a_tracker_store_that_rasa_does_not_know_is_named() -> None:
    for known in ("", "tracker_store:\n", "tracker_store: {type: in_memory}\n"):
        Path("endpoints.yml").write_text(known)
        assert start._unknown_store(None) == ""
    Path("endpoints.yml").write_text("tracker_store: {type: mongodb}\n")
    assert start._unknown_store(None) == "Rasa cannot load the tracker store 'mongodb': "
