"""How Rasa uses what we hand it: locks, the watched processor, the output channel, QueueInput."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from sanic import Sanic

from bridge.errors import SettingsError
from bridge.messages import Reply, decode
from tests.support.fakes import FakePublisher, an_inbound
from worker import agent as rasa_agent, compat, duplicates, event_types

needs_pro = pytest.mark.skipif(not compat.IS_PRO, reason="only rasa-pro has it")


class Processor:
    """Stands in for Rasa's: `Agent.handle_message` is real."""

    def __init__(self, *stored: str) -> None:
        self.stored = stored
        self.running = 0
        self.most = 0
        self.finished: list[str] = []

    async def get_tracker(self, conversation_id: str, *_: Any) -> Any:
        from rasa.shared.core.events import UserUttered
        from rasa.shared.core.trackers import DialogueStateTracker

        events = [UserUttered("hi", message_id=message_id) for message_id in self.stored]
        return DialogueStateTracker.from_events(conversation_id, events)

    async def handle_message(self, message: Any) -> None:
        await self.get_tracker(message.sender_id)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        self.finished.append(message.message_id)

    def is_duplicate_message(self, *_: Any) -> bool:
        return False

    def register_cancellation_token(self, *_: Any) -> None: ...

    def unregister_cancellation_token(self, *_: Any) -> None: ...


def an_agent(processor: Processor) -> Any:
    agent = compat.Agent(lock_store=rasa_agent.LaneLocks())
    agent.processor = processor
    return agent


class Out(rasa_agent.AssistantOutput):
    """The output channel of a turn; `texts` are the replies on the queue."""

    def __init__(self) -> None:
        self.publisher = FakePublisher()
        super().__init__(an_inbound("m1"), self.publisher.queues())

    @property
    def replies(self) -> list[tuple[str, str | None]]:
        decoded = [decode(published.body, Reply) for published in self.publisher.published]
        return [(reply.kind, reply.text) for reply in decoded]


async def test_rasas_agent_loads_the_tracker_through_the_watched_processor() -> None:
    processor = Processor("m1")
    handle = rasa_agent.turn_handler(lambda: nullcontext(an_agent(processor)))
    await handle(an_inbound("m1"), Out())
    assert processor.finished == []
    await handle(an_inbound("m2"), Out())
    assert processor.finished == ["m2"]


async def test_a_refused_turn_lets_go_of_the_lock() -> None:
    agent = an_agent(Processor("m1"))
    duplicates.watch(agent.processor)
    with pytest.raises(duplicates.AlreadyRun), duplicates.refused(an_inbound("m1")):
        await agent.handle_message(rasa_agent.user_message(an_inbound("m1"), Out()))
    assert not agent.lock_store._lines


async def test_rasas_agent_takes_our_lock() -> None:
    processor = Processor()
    agent = an_agent(processor)
    messages = [rasa_agent.user_message(an_inbound(f"m{n}"), Out()) for n in range(3)]
    await asyncio.gather(*map(agent.handle_message, messages))
    assert processor.most == 1
    assert processor.finished == ["m0", "m1", "m2"]


async def test_a_successor_shares_connections_and_no_domain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rasa.shared.core.domain import Domain

    def load_model(agent: Any, folder: str) -> None:
        """What Rasa's does to the agent, besides loading."""
        agent.domain = Domain.from_yaml("intents: [b]")
        agent.tracker_store.domain = agent.domain
        agent.nlg.responses = {"utter_b": [{"text": folder}]}
        agent.processor = Processor()

    async def nothing(_: Any) -> None: ...

    monkeypatch.setattr(compat.Agent, "load_model", load_model)
    monkeypatch.setattr(compat.Agent, "prepare_runtime_integrations", nothing, raising=False)
    old = an_agent(Processor())
    old.tracker_store.domain = Domain.from_yaml("intents: [a]")
    old.nlg.responses = {}
    new = await compat.successor(old, "folder")
    assert new.tracker_store._tracker_store.store is old.tracker_store._tracker_store.store
    assert new.lock_store is old.lock_store
    assert "b" in new.tracker_store.domain.intents
    assert "b" not in old.tracker_store.domain.intents
    assert new.domain is new.tracker_store.domain
    assert old.nlg.responses == {}
    assert old.processor is not new.processor


def test_a_lock_store_in_the_endpoints_is_used_as_it_is() -> None:
    from rasa.core.lock_store import LockStore

    locks = rasa_agent.LaneLocks()
    assert LockStore.create(locks) is locks


def processors() -> list[type]:
    """Return Rasa's classes that load a tracker for a turn."""
    module = importlib.import_module("rasa.core.processor")
    classes = [thing for thing in vars(module).values() if inspect.isclass(thing)]
    method = "fetch_tracker_and_update_session"
    return [
        cls
        for cls in classes
        if method in vars(cls) and not getattr(vars(cls)[method], "__isabstractmethod__", False)
    ]


async def test_the_processor_of_rasa_loads_each_tracker_with_get_tracker() -> None:
    """A method that it calls on itself, so that an attribute of the object takes its place."""

    class Watched(Exception):
        pass

    async def get_tracker(*_: Any, **__: Any) -> None:
        raise Watched

    assert processors()
    for cls in processors():
        stand_in = SimpleNamespace(get_tracker=get_tracker)
        with pytest.raises(Watched):
            await cls.fetch_tracker_and_update_session(stand_in, "ada")  # type: ignore[attr-defined]


def test_queue_input_registers_with_rasas_server() -> None:
    from rasa.core.channels.channel import register

    from bridge import QueueInput

    app = Sanic("contract")
    channel = QueueInput.from_credentials(
        {"channel": "callback", "url": "http://127.0.0.1:9/", "worker": True}
    )
    register([channel], app, route="/webhooks/")
    routes = {route.path for route in app.router.routes}
    assert {"webhooks/callback", "webhooks/callback/webhook"} <= {p.strip("/") for p in routes}


async def test_the_name_of_the_output_is_asked_of_the_object() -> None:
    assert Out().name() == an_inbound("m1").output_channel


@needs_pro
async def test_chunks_become_one_reply_in_the_order_of_the_others() -> None:
    out = Out()
    await out.send_response_chunk_start("ada", streaming_config=None)
    for chunk in ("We are ", "at the ", "harbour."):
        await out.send_response_chunk(recipient_id="ada", chunk=chunk)
    await out.send_response_chunk_end("ada")
    await out.send_response("ada", {"text": "Anything else?"})
    assert out.replies == [("text", "We are at the harbour."), ("text", "Anything else?")]


@needs_pro
async def test_a_response_writer_delivers_before_the_turn_ends() -> None:
    out = Out()
    writer = out.open_response("ada")
    writer.write("We are ")
    writer.write("closed.")
    writer.finish()
    await out.finish()
    assert out.replies == [("text", "We are closed.")]


@needs_pro
def test_without_a_licence_the_worker_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RASA_LICENSE", "RASA_PRO_LICENSE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="RASA_LICENSE"):
        compat.check_licence()
    monkeypatch.setenv("RASA_LICENSE", "not.a.licence")
    with pytest.raises(SettingsError, match="Failed to validate Rasa license"):
        compat.check_licence()


def test_rasa_finds_the_class_of_an_event_through_what_we_remember(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = compat.Event
    monkeypatch.setattr(event, "resolve_by_type", staticmethod(event.resolve_by_type))
    event_types.remember(event)
    for _ in range(2):
        again = event.from_parameters({"event": "slot", "name": "size", "value": 3})
        assert (type(again).__name__, again.value) == ("SlotSet", 3)
    assert "slot" in event.resolve_by_type.known
