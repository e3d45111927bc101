"""From credentials.yml to connectors: known channels, instances, module paths, hosted mode."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sanic import Sanic

from bridge.connectors.callback import CallbackConnector
from bridge.connectors.limits import RateLimit
from bridge.connectors.registry import CONNECTORS, load_channel, load_channels
from bridge.connectors.rest import RestConnector
from bridge.connectors.wrapped.connector import WrappedConnector
from bridge.errors import SettingsError
from bridge.settings.files import BrokerSettings, Partitions
from bridge.webhook.node import WebhookNode
from bridge.webhook.server import create_app

BOT = {"url": "http://bot/"}

INPUT_CHANNEL = """
from sanic import Blueprint, response


class CollectingOutputChannel:
    pass


class Output:
    pass


class MyIO:
    output = Output

    @classmethod
    def name(cls):
        return "myio"

    @classmethod
    def from_credentials(cls, credentials):
        channel = cls()
        channel.credentials = credentials
        return channel

    def blueprint(self, on_new_message):
        raise NotImplementedError

    def get_output_channel(self):
        return self.output() if self.output else None


class Serving(MyIO):
    def blueprint(self, on_new_message):
        blueprint = Blueprint("serving_webhook")

        @blueprint.route("/webhook", methods=["POST"])
        async def receive(request):
            return response.text("taken")

        return blueprint


class Collects(MyIO):
    output = CollectingOutputChannel


class CannotRebuild(MyIO):
    def get_output_channel(self):
        raise ValueError("needs the request")


class NeedsKey(MyIO):
    @classmethod
    def from_credentials(cls, credentials):
        return credentials["secret"]


class BadlyNamed(MyIO):
    @classmethod
    def name(cls):
        return "my io"


class NoChannel:
    pass


a_value = 7
"""

NATIVE = """
from bridge import Connector


class PagerConnector(Connector):
    name = "pager"

    def __init__(self, token: str) -> None:
        self.token = token

    def parse(self, request):
        return []

    async def deliver(self, reply, http):
        pass
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's modules in the working directory, unloaded after the test."""
    for name, text in {
        "my_io.py": INPUT_CHANNEL,
        "pager_channel.py": NATIVE,
        "broken_import.py": "import no_such_library",
        "needs_rasa.py": "raise ModuleNotFoundError('no rasa', name='rasa.core')",
        "broken_code.py": "1 / 0",
        "broken_syntax.py": "def (:",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def load(name: str, **section: Any) -> Any:
    return load_channel(name, section)


# known channels


@pytest.mark.parametrize("name", CONNECTORS)
def test_every_known_channel_can_be_imported_and_has_its_own_name(name: str) -> None:
    module, _, attribute = CONNECTORS[name].rpartition(".")
    __import__(module)
    assert getattr(sys.modules[module], attribute).name == name


def test_a_known_channel_is_loaded_by_its_name() -> None:
    channel = load("callback", **BOT)
    assert isinstance(channel.connector, CallbackConnector)
    assert (channel.name, channel.connector.channel) == ("callback", "callback")
    assert channel.has_reply_queues
    assert channel.rate_limit is None


def test_a_channel_that_answers_in_the_response_has_no_reply_queues() -> None:
    assert isinstance(load("rest").connector, RestConnector)
    assert not load("rest").has_reply_queues


def test_every_channel_of_a_file_is_loaded_by_name() -> None:
    channels = load_channels({"rest": {}, "callback": BOT})
    assert {name: type(c.connector) for name, c in channels.items()} == {
        "rest": RestConnector,
        "callback": CallbackConnector,
    }


# instances


def test_an_instance_has_any_name_and_names_its_channel() -> None:
    channels = load_channels(
        {
            "callback": BOT,
            "callback-sales": {"channel": "callback", "url": "http://sales/"},
            "callback_support": {"channel": "callback", "url": "http://support/"},
        }
    )
    assert list(channels) == ["callback", "callback-sales", "callback_support"]
    assert [c.connector.channel for c in channels.values()] == list(channels)
    assert [c.connector.url for c in channels.values()] == [  # type: ignore[attr-defined]
        "http://bot/",
        "http://sales/",
        "http://support/",
    ]


@pytest.mark.parametrize("name", ["callback sales", "callback/sales", "cállback", ""])
def test_a_name_that_cannot_be_part_of_a_url_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match="is not a valid channel name"):
        load(name, channel="callback", **BOT)


@pytest.mark.parametrize(
    ("rate", "limit"),
    [(20, RateLimit(20, 2)), (0.5, RateLimit(0.5)), ("2.5", RateLimit(2.5)), (None, None)],
)
def test_a_rate_limit_is_in_calls_per_second(rate: Any, limit: RateLimit | None) -> None:
    assert load("callback", rate_limit=rate, **BOT).rate_limit == limit


@pytest.mark.parametrize("rate", [0, -1, "fast", "", "0", [1], True, "inf", "nan"])
def test_a_rate_limit_that_is_not_a_positive_number_is_an_error(rate: Any) -> None:
    with pytest.raises(SettingsError, match="'rate_limit'"):
        load("callback", rate_limit=rate, **BOT)


# module paths


def test_a_native_class_is_named_by_its_module_path() -> None:
    channel = load("pager_channel.PagerConnector", token="t")
    assert channel.connector.token == "t"
    assert (channel.name, channel.connector.channel) == ("pager", "pager")


def test_a_native_class_may_have_instances() -> None:
    channel = load("pager-night", channel="pager_channel.PagerConnector", token="t")
    assert (channel.name, channel.connector.channel) == ("pager-night", "pager-night")


def test_the_keys_of_a_native_class_are_checked() -> None:
    with pytest.raises(SettingsError, match="unknown key 'tokn'; did you mean 'token'"):
        load("pager_channel.PagerConnector", tokn="t")


def test_an_input_channel_of_rasa_is_wrapped_and_keeps_its_own_name() -> None:
    channel = load("my_io.MyIO", token="t")
    assert isinstance(channel.connector, WrappedConnector)
    assert (channel.name, channel.connector.channel) == ("myio", "myio")


@pytest.mark.parametrize(
    ("path", "has_queues"),
    [("my_io.MyIO", True), ("my_io.Collects", False), ("my_io.CannotRebuild", False)],
)
def test_an_input_channel_has_reply_queues_if_its_output_channel_can_be_rebuilt(
    path: str, has_queues: bool
) -> None:
    assert load(path).has_reply_queues is has_queues


def test_an_input_channel_that_can_be_rebuilt_may_still_answer_in_the_response() -> None:
    broker = BrokerSettings("amqp://h/", "test", Partitions(inbound=1, replies=1))
    node = WebhookNode(broker, {"myio": load("my_io.MyIO")})
    assert [link.kind for link in node.links] == ["publisher", "collector"]


def test_an_input_channel_may_have_instances_with_their_own_names() -> None:
    sections = {f"my-io-{n}": {"channel": "my_io.MyIO", "who": n} for n in "ab"}
    channels = load_channels({"my_io.MyIO": {"who": "m"}, **sections})
    assert list(channels) == ["myio", "my-io-a", "my-io-b"]
    assert [c.connector.channel for c in channels.values()] == list(channels)
    assert {c.connector.name for c in channels.values()} == {"myio"}


def test_run_in_thread_is_a_key_of_the_bridge_and_not_of_the_input_channel() -> None:
    connector = load("my_io.MyIO", run_in_thread="false", token="t").connector
    assert connector._run_in_thread is False
    assert connector._collects is None
    assert connector._input_channel.credentials == {"token": "t"}


def test_each_instance_of_an_input_channel_is_served_at_its_own_url() -> None:
    channels = load_channels({n: {"channel": "my_io.Serving"} for n in ("my-io-a", "my-io-b")})
    node: Any = SimpleNamespace(inbox=None, problem=lambda: None)
    Sanic.test_mode = True
    routes = create_app(node, channels).router.routes
    paths = {route.path for route in routes}
    assert {"webhooks/my-io-a/webhook", "webhooks/my-io-b/webhook"} <= paths
    # Sanic selects the routes of a blueprint's middleware by these names.
    assert len({route.name for route in routes}) == len(routes)


# hosted mode


def test_the_queue_input_key_is_a_callback_channel_by_default() -> None:
    assert load("bridge.QueueInput", **BOT).name == "callback"
    channel = load("bridge.QueueInput", channel="rest", timeout=5)
    assert isinstance(channel.connector, RestConnector)
    assert channel.name == "rest"


def test_the_queue_input_key_holds_the_connectors_keys_and_its_own() -> None:
    channel = load("bridge.QueueInput", worker=True, broker={"url": "amqp://h/"}, **BOT)
    assert channel.connector.url == "http://bot/"


def test_an_unknown_key_of_the_queue_input_is_an_error() -> None:
    with pytest.raises(SettingsError, match="unknown key 'wroker'"):
        load("bridge.QueueInput", wroker=True, **BOT)


# errors


@pytest.mark.parametrize(
    ("key", "section", "named"),
    [
        ("calback", BOT, "unknown channel 'calback'; did you mean 'callback'"),
        ("zzzzz", {}, "unknown channel 'zzzzz'; known channels: "),
        ("zzzzz", {}, "module.Class"),
        ("sales", {"channel": "calback"}, "did you mean 'callback'"),
        ("callback", {}, "key 'url' is missing"),
        ("callback", {"ur": "http://bot/"}, "unknown key 'ur'; did you mean 'url'"),
        ("webhook", {"scret": "x"}, "unknown key 'scret'; did you mean 'secret'"),
        ("rest", {"timeout": "long"}, "key 'timeout'"),
        ("my_io.MyIO", {"run_in_thread": "maybe"}, "key 'run_in_thread'"),
        ("my_io.MyIO", {"bridge": {"collects": "maybe"}}, "key 'collects'"),
        ("no_such_module.MyIO", {}, "start in the module's directory, or install the module"),
        ("my_io.NoSuchClass", {}, "module 'my_io' has no class 'NoSuchClass'"),
        ("my_io.NoChannel", {}, "neither a bridge.Connector nor a Rasa InputChannel"),
        ("my_io.a_value", {}, "neither a bridge.Connector nor a Rasa InputChannel"),
        ("my_io.BadlyNamed", {}, "'my io' is not a valid channel name"),
        ("my_io.NeedsKey", {"x": 1}, "from_credentials failed: KeyError"),
        ("broken_import.MyIO", {}, "no_such_library"),
        ("broken_import.MyIO", {}, "install what the module imports"),
        ("needs_rasa.MyIO", {}, "rasa-channel-bridge[rasa]"),
        ("broken_code.MyIO", {}, "ZeroDivisionError: division by zero (broken_code.py:1)"),
        ("broken_syntax.MyIO", {}, "SyntaxError"),
    ],
)
def test_an_error_is_one_line_that_names_file_channel_and_fix(
    key: str, section: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_channels({key: section}, "creds.yml")
    assert str(caught.value).startswith(f"creds.yml: {key}: ")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_channels_with_the_same_name_are_an_error() -> None:
    with pytest.raises(SettingsError, match="two channels called 'callback'"):
        load_channels({"callback": BOT, "bridge.QueueInput": BOT})


def test_loading_does_not_change_the_section() -> None:
    section = {"channel": "callback", "rate_limit": 5, **BOT}
    load_channel("callback-sales", section)
    assert section == {"channel": "callback", "rate_limit": 5, **BOT}


def test_a_channel_that_our_package_shadows_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.py").touch()
    with pytest.raises(SettingsError, match="rename bridge.py, for example to my_bridge.py"):
        load_channel("bridge.MyIO", {})
