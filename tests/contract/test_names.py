"""Every name of Rasa that we import, and every call that we make, exists in the installed wheel.

A breaking upgrade fails here by name, before any model is loaded.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, NamedTuple

import pytest

from worker import compat

BOTH, OLD, PRO = "both", "3.6", "pro"
HERE = PRO if compat.IS_PRO else OLD
X: Any = object()


class Call(NamedTuple):
    """A call as we write it; `self` is the first argument of a method."""

    of: str
    name: str
    arguments: tuple[Any, ...] = ()
    keywords: tuple[str, ...] = ()
    is_async: bool = False


USER_MESSAGE = (
    "text",
    "output_channel",
    "sender_id",
    "parse_data",
    "input_channel",
    "message_id",
    "metadata",
)
CALLS = [
    Call(BOTH, "rasa.core.agent.load_agent", (), ("model_path", "endpoints"), is_async=True),
    Call(PRO, "rasa.core.agent.load_agent", (), ("sub_agents",), is_async=True),
    Call(BOTH, "rasa.core.agent._pull_model_and_fingerprint", (X, "tag", "folder"), is_async=True),
    Call(
        PRO, "rasa.core.agent._pull_model_and_fingerprint", (X, "tag", "folder", X), is_async=True
    ),
    Call(BOTH, "rasa.core.agent.Agent.load_model", (X, "folder")),
    Call(PRO, "rasa.core.agent.Agent.prepare_runtime_integrations", (X,), is_async=True),
    Call(
        PRO,
        "rasa.core.processor.BaseMessageProcessor.close_runtime_integrations",
        (X,),
        is_async=True,
    ),
    Call(BOTH, "rasa.utils.endpoints.EndpointConfig", ("http://models/",), ("token",)),
    Call(PRO, "rasa.utils.endpoints.EndpointConfig.create_ssl_context", (X,)),
    Call(BOTH, "rasa.core.agent.Agent.handle_message", (X, X), is_async=True),
    Call(BOTH, "rasa.core.agent.Agent.is_ready", (X,)),
    Call(BOTH, "rasa.core.processor.MessageProcessor.get_tracker", (X, "ada"), is_async=True),
    Call(
        BOTH,
        "worker.compat.RemindingProcessor._schedule_reminders",
        (X, [], X, X),
        is_async=True,
    ),
    Call(BOTH, "rasa.core.channels.channel.UserMessage", (), USER_MESSAGE),
    Call(BOTH, "rasa.core.channels.channel.OutputChannel"),
    Call(BOTH, "rasa.core.channels.channel.register", ([], X), ("route",)),
    Call(BOTH, "rasa.core.channels.channel.InputChannel.blueprint", (X, X)),
    Call(BOTH, "rasa.core.channels.channel.InputChannel.from_credentials", ({},)),
    Call(BOTH, "rasa.core.lock_store.InMemoryLockStore"),
    Call(BOTH, "rasa.core.lock_store.LockStore.create", (X,)),
    Call(OLD, "rasa.core.utils.AvailableEndpoints", (), ("nlg", "nlu", "action", "model")),
    Call(OLD, "rasa.core.tracker_store.FailSafeTrackerStore", (X,)),
    Call(OLD, "rasa.core.tracker_store.InMemoryTrackerStore", (X,)),
    Call(PRO, "rasa.core.config.available_endpoints.AvailableEndpoints"),
    Call(PRO, "rasa.core.tracker_stores.tracker_store.FailSafeTrackerStore", (X,)),
    Call(PRO, "rasa.core.tracker_stores.tracker_store.InMemoryTrackerStore", (X,)),
    Call(PRO, "rasa.core.config.configuration.Configuration.get_instance"),
    Call(
        PRO,
        "rasa.core.config.configuration.Configuration.initialise_endpoints",
        (None,),
        ("model_path",),
    ),
    Call(PRO, "rasa.core.config.configuration.Configuration.initialise_sub_agents", (None,)),
    Call(PRO, "rasa.cli.project_env.load_project_dotenv"),
    Call(PRO, "rasa.plugin.init_managers", (), ("endpoints_file", "model_path")),
    Call(PRO, "rasa.utils.licensing.validate_license_from_env"),
    Call(PRO, "rasa.utils.licensing.validate_limited_server_license", (X, X), is_async=True),
    Call(PRO, "rasa.utils.aws_marketplace_licensing.validate_marketplace_license"),
    Call(
        PRO,
        "rasa.core.channels.channel.OutputChannel.wait_for_response_deliveries",
        (X,),
        is_async=True,
    ),
]
OUTPUT = {
    "send_response": ("ada", {}),
    "send_text_message": ("ada", "hi"),
    "send_image_url": ("ada", "url"),
    "send_attachment": ("ada", "url"),
    "send_text_with_buttons": ("ada", "hi", []),
    "send_quick_replies": ("ada", "hi", []),
    "send_elements": ("ada", []),
    "send_custom_json": ("ada", {}),
}
"""Methods of an output channel, with the arguments that Rasa passes."""
STREAMING = {
    "send_response_chunk_start": ("ada",),
    "send_response_chunk": ("ada", "chunk"),
    "send_response_chunk_end": ("ada",),
}


def found(name: str) -> Any:
    """Return what a dotted name stands for."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(f"{name}: no such module")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.of}-{call.name}")
def test_a_call_that_we_make_fits(call: Call) -> None:
    if call.of not in (BOTH, HERE):
        pytest.skip(f"only in {call.of}")
    thing = found(call.name)
    inspect.signature(thing).bind(*call.arguments, **dict.fromkeys(call.keywords))
    assert inspect.iscoroutinefunction(thing) == call.is_async


@pytest.mark.parametrize("method", [*OUTPUT, *STREAMING])
def test_rasa_calls_methods_that_our_output_channel_has(method: str) -> None:
    from worker.agent import AssistantOutput
    from worker.output_channel import QueueOutput

    arguments = {**OUTPUT, **STREAMING}[method]
    ours = getattr(AssistantOutput, method)
    assert ours is getattr(QueueOutput, method), "ours comes first"
    theirs = getattr(compat.OutputChannel, method, None)
    assert theirs is not None or (method in STREAMING and not compat.IS_PRO)
    for channel in filter(None, (ours, theirs)):
        inspect.signature(channel).bind(None, *arguments)


def test_the_output_channel_of_rasa_has_no_method_that_sends_and_that_we_do_not_know() -> None:
    """A new `send_*` would inherit an implementation that our queue may not understand."""
    known = {*OUTPUT, *STREAMING}
    # Rasa's own fall back on send_text_message, which is ours.
    known |= {"send_buttons", "send_text_with_buttons_concise", "send_text_message_awaits_playback"}
    assert {name for name in dir(compat.OutputChannel) if name.startswith("send_")} <= known


def test_an_agent_has_the_attributes_that_we_replace() -> None:
    agent = compat.Agent()
    assert agent.processor is None
    assert not agent.is_ready()
    assert agent.model_id is None
    assert isinstance(agent.lock_store, compat.InMemoryLockStore)
    assert isinstance(agent.tracker_store, compat.FailSafeTrackerStore)
    assert isinstance(agent.tracker_store._tracker_store, compat.InMemoryTrackerStore)


def test_the_defaults_that_we_rely_on() -> None:
    message = compat.UserMessage("  hi  ", X, 5, message_id=7)
    assert (message.text, message.sender_id, message.message_id) == ("hi", "5", "7")
    assert message.parse_data is None
    assert message.metadata is None
    if compat.IS_PRO:
        # False: Rasa sends whole texts, and chunks only where a part of it does not ask.
        assert compat.OutputChannel().supports_streaming is False
        assert compat.OutputChannel().supports_response_writer is False
    else:
        assert not hasattr(compat.OutputChannel, "supports_streaming")
