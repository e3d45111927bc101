"""endpoints.yml and credentials.yml: variables, defaults, and errors that name file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.settings.files import (
    DEFAULT_URL,
    broker_settings,
    load_broker,
    load_credentials,
    load_endpoint,
)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMQP_URL", raising=False)


def write(text: str, name: str = "endpoints.yml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


# the bridge section


def test_defaults_apply_without_a_file() -> None:
    broker = load_broker(None)
    assert broker.url == DEFAULT_URL
    assert broker.namespace == "bridge"
    assert (broker.partitions.inbound, broker.partitions.replies) == (32, 8)


@pytest.mark.parametrize("text", ["", "# nothing\n", "tracker_store:\n  type: redis\n", "bridge:"])
def test_defaults_apply_without_a_bridge_section(text: str) -> None:
    write(text)
    assert load_broker(None).url == DEFAULT_URL


def test_endpoints_yml_is_read_from_the_working_directory() -> None:
    write(
        "bridge:\n  url: amqps://u:p@rabbit:5671/v\n  namespace: shop\n  partitions: {inbound: 4}"
    )
    broker = load_broker(None)
    assert broker.url == "amqps://u:p@rabbit:5671/v"
    assert broker.namespace == "shop"
    assert (broker.partitions.inbound, broker.partitions.replies) == (4, 8)


def test_amqp_url_is_the_default_and_the_file_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://from-the-environment/")
    assert load_broker(None).url == "amqp://from-the-environment/"
    write("bridge:\n  url: amqp://from-the-file/")
    assert load_broker(None).url == "amqp://from-the-file/"


def test_the_section_determines_the_topology() -> None:
    write("bridge:\n  namespace: shop\n  partitions: {inbound: 4, replies: 2}")
    topology = load_broker(None).topology(["slack"])
    assert len(topology.inbound_queues()) == 4
    assert topology.reply_queues("slack")[1].name == "shop.replies.slack.01"


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ("{ulr: 'amqp://h/'}", "unknown key 'ulr'; did you mean 'url'"),
        ("{namespce: a}", "unknown key 'namespce'; did you mean 'namespace'"),
        ("{partitions: {inbund: 4}}", "unknown key 'inbund'; did you mean 'inbound'"),
        ("{url: 'http://h/'}", "key 'url'"),
        ("{url: 'amqp://'}", "key 'url'"),
        ("{url: 'amqp://h:port/'}", "key 'url'"),
        ("{url: [1]}", "key 'url'"),
        ("{namespace: 'a b'}", "key 'namespace'"),
        ("{namespace: 'a/b'}", "key 'namespace'"),
        ("{partitions: 4}", "key 'partitions'"),
        ("{partitions: {inbound: many}}", "key 'partitions.inbound'"),
        ("{partitions: {inbound: 0}}", "key 'partitions.inbound'"),
        ("{partitions: {replies: 129}}", "key 'partitions.replies'"),
        ("[url]", "section with keys"),
        ("text", "section with keys"),
    ],
)
def test_an_error_in_the_section_names_file_and_key(section: str, named: str) -> None:
    write(f"bridge: {section}")
    with pytest.raises(SettingsError) as caught:
        load_broker(None)
    assert str(caught.value).startswith("endpoints.yml: bridge")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_never_part_of_an_error() -> None:
    write("bridge:\n  url: http://user:hunter2@host/")
    with pytest.raises(SettingsError) as caught:
        load_broker(None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["brigde", "Bridge", "bridges"])
def test_a_misspelled_section_is_an_error_with_a_suggestion(name: str) -> None:
    write(f"{name}:\n  namespace: shop")
    with pytest.raises(SettingsError, match=f"'{name}'; did you mean 'bridge'"):
        load_broker(None)


def test_a_section_from_elsewhere_is_accepted_and_errors_name_its_source() -> None:
    assert broker_settings(None, "there").url == DEFAULT_URL
    with pytest.raises(SettingsError, match="there: unknown key"):
        broker_settings({"x": 1}, "there")


# the environment


def test_a_variable_is_replaced_anywhere_in_a_string(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("USER_NAME", "ada")
    monkeypatch.setenv("RABBIT_HOST", "rabbit")
    write("bridge:\n  url: amqp://${USER_NAME}:x@${RABBIT_HOST}:5672/")
    assert load_broker(None).url == "amqp://ada:x@rabbit:5672/"


def test_a_number_from_the_environment_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOUND", "16")
    write("bridge:\n  partitions:\n    inbound: ${INBOUND}")
    assert load_broker(None).partitions.inbound == 16


def test_an_unset_variable_is_an_error_that_names_it_and_its_section() -> None:
    write("bridge:\n  url: ${NO_SUCH_VARIABLE}\ntracker_store:\n  url: ${NEITHER_THIS}")
    with pytest.raises(SettingsError, match=r"bridge.*NO_SUCH_VARIABLE is not set"):
        load_broker(None)
    with pytest.raises(SettingsError, match=r"tracker_store.*NEITHER_THIS is not set"):
        load_endpoint(None, "tracker_store")


def test_an_unset_variable_in_an_unused_section_is_ignored() -> None:
    write("bridge:\n  namespace: shop\ntracker_store:\n  password: ${NO_SUCH_VARIABLE}")
    assert load_broker(None).namespace == "shop"


def test_a_nested_variable_must_be_set() -> None:
    write("slack:\n  tokens:\n    - first: a\n      second: ${NO_SUCH_VARIABLE}", "credentials.yml")
    with pytest.raises(SettingsError, match="slack.*NO_SUCH_VARIABLE"):
        load_credentials(None)


def test_a_quoted_variable_is_not_replaced_as_in_rasa() -> None:
    write("rest:\n  a: '${NO_SUCH_VARIABLE}'\n  b: costs $5", "credentials.yml")
    assert load_credentials(None)["rest"] == {"a": "${NO_SUCH_VARIABLE}", "b": "costs $5"}


# other sections


def test_other_sections_of_endpoints_yml_are_read_and_default_to_empty() -> None:
    write("tracker_store:\n  type: redis\n  port: 6379\nmodels:")
    assert load_endpoint(None, "tracker_store") == {"type": "redis", "port": 6379}
    assert load_endpoint(None, "models") == {}
    assert load_endpoint(None, "nlg") == {}


def test_a_section_that_is_not_a_mapping_is_an_error() -> None:
    write("tracker_store: redis")
    with pytest.raises(SettingsError, match="endpoints.yml: tracker_store"):
        load_endpoint(None, "tracker_store")


# credentials


def test_each_key_of_credentials_yml_is_a_channel() -> None:
    write("rest:\ncallback:\n  url: http://bot/\nslack-sales: {}\n", "credentials.yml")
    assert load_credentials(None) == {
        "rest": {},
        "callback": {"url": "http://bot/"},
        "slack-sales": {},
    }


@pytest.mark.parametrize("section", ["text", "[1, 2]", "5", "false"])
def test_a_channel_that_is_not_a_section_is_an_error(section: str) -> None:
    write(f"rest: {section}", "credentials.yml")
    with pytest.raises(SettingsError, match="credentials.yml: rest"):
        load_credentials(None)


@pytest.mark.parametrize("text", ["", "# rest:\n", "{}"])
def test_credentials_without_a_channel_are_accepted_as_in_rasa(text: str) -> None:
    write(text, "credentials.yml")
    assert load_credentials(None) == {}


def test_a_missing_credentials_file_is_an_error_that_names_the_option() -> None:
    with pytest.raises(SettingsError, match="credentials.yml: no such file.*--credentials"):
        load_credentials(None)


# files


def test_an_explicitly_named_file_must_exist() -> None:
    for load in (load_broker, load_credentials):
        with pytest.raises(SettingsError, match="other.yml: no such file"):
            load("other.yml")


def test_a_directory_is_not_accepted_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_broker(str(tmp_path))


@pytest.mark.parametrize("text", ["bridge: [", "a: b: c", "\tbridge: 1", "a: !unknown b"])
def test_invalid_yaml_is_an_error_that_names_the_line(text: str) -> None:
    write(f"# first line\n{text}\n")
    with pytest.raises(SettingsError, match=r"endpoints.yml, line \d: not valid YAML"):
        load_broker(None)


def test_a_file_that_is_not_utf_8_is_an_error() -> None:
    Path("endpoints.yml").write_bytes(b"bridge: \xff\xfe")
    with pytest.raises(SettingsError, match=r"endpoints.yml: it is not in UTF-8; save it as UTF-8"):
        load_broker(None)


@pytest.mark.parametrize("text", ["- bridge", "text", "7"])
def test_a_file_that_is_not_a_mapping_is_an_error(text: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match="endpoints.yml: it must be a mapping"):
        load_broker(None)


def test_files_are_read_as_utf_8() -> None:
    write("rest:\n  greeting: Zoë 会話", "credentials.yml")
    assert load_credentials(None)["rest"]["greeting"] == "Zoë 会話"


def test_without_a_file_an_error_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "localhost:5672")
    with pytest.raises(SettingsError) as caught:
        load_broker(None)
    assert str(caught.value).startswith("the environment variable AMQP_URL is not an AMQP URL;")
