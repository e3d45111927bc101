"""What `--handler` accepts, and what happens before and after a turn."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import BrokerUnavailable, PublishRefused, SettingsError, Unroutable
from bridge.messages import InboundMessage, ReplyTo, TurnEnd, decode
from tests.support.fakes import FakePublisher, an_inbound
from tests.support.waiting import eventually
from worker.handler import Turns, load_handler
from worker.output_channel import QueueOutput

HANDLERS = """
async def handle(message, output):
    return None


class Handler:
    async def __call__(self, message, output):
        return None

    async def method(self, message, output):
        return None


an_object = Handler()
a_method = an_object.method
not_callable = 7


def not_async(message, output):
    return None


async def too_few(message):
    return None


async def too_many(message, output, more):
    return None
"""


@pytest.fixture
def _handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "my_handlers.py": HANDLERS,
        "broken_import.py": "import no_such_library",
        "broken_code.py": "1 / 0",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)


pytestmark = pytest.mark.usefixtures("_handlers")


# load_handler


@pytest.mark.parametrize("name", ["handle", "an_object", "a_method"])
async def test_an_async_callable_with_two_parameters_is_a_handler(name: str) -> None:
    handle = load_handler(f"my_handlers:{name}")
    assert await handle(an_inbound(), None) is None  # type: ignore[arg-type, func-returns-value]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("my_handlers", "module:function"),
        ("my_handlers:", "module:function"),
        ("my_handlers.handle", "module:function"),
        (":handle", ""),
        ("no_such_module:handle", "no_such_module'; start in the folder that holds it"),
        ("broken_import:handle", "named 'no_such_library'; install what is missing"),
        ("broken_code:handle", "ZeroDivisionError: division by zero (broken_code.py:1)"),
        ("my_handlers:no_such_function", "my_handlers has no 'no_such_function'"),
        ("my_handlers:not_callable", "async def not_callable(message, output)"),
        ("my_handlers:not_async", "async def not_async(message, output)"),
        ("my_handlers:too_few", "async def too_few(message, output)"),
        ("my_handlers:too_many", "async def too_many(message, output)"),
        ("my_handlers:Handler", "async def Handler(message, output)"),
    ],
)
def test_an_invalid_handler_is_a_one_line_error(path: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_handler(path)
    assert str(caught.value).startswith(f"--handler {path}: ")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["worker:handle", "worker.bot:handle"])
def test_a_handler_that_our_package_shadows_is_explained(path: str, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(HANDLERS)
    with pytest.raises(
        SettingsError, match="'worker' is a package of rasa-channel-bridge"
    ) as caught:
        load_handler(path)
    assert str(caught.value).startswith(f"--handler {path}: ")
    assert caught.value.fix == "rename worker.py, for example to my_worker.py"


# Turns


def make(handle: Any = None) -> tuple[Turns, FakePublisher]:
    publisher = FakePublisher()
    return Turns(handle or load_handler("my_handlers:handle"), publisher.queues(), QueueOutput), (
        publisher
    )


async def test_a_handler_gets_the_message_and_an_output_for_its_replies() -> None:
    given: list[Any] = []

    async def handle(message: InboundMessage, output: QueueOutput) -> None:
        given.append(message)
        await output.send_text_message(message.sender_id, "hi")

    turns, publisher = make(handle)
    message = an_inbound("e1")
    await turns.run(message)
    assert given == [message]
    assert [p.properties["message_id"] for p in publisher.published] == ["e1:0"]


async def test_each_run_of_a_turn_numbers_its_replies_from_0() -> None:
    async def handle(message: InboundMessage, output: QueueOutput) -> None:
        await output.send_text_message(message.sender_id, "hi")

    turns, publisher = make(handle)
    for _ in range(2):
        await turns.run(an_inbound("e1"))
    assert [p.properties["message_id"] for p in publisher.published] == ["e1:0", "e1:0"]


async def test_an_exception_of_a_handler_is_not_swallowed() -> None:
    async def handle(message: InboundMessage, output: QueueOutput) -> None:
        raise ZeroDivisionError

    turns, _ = make(handle)
    with pytest.raises(ZeroDivisionError):
        await turns.run(an_inbound())


async def test_a_message_is_marked_whose_turn_has_failed_before_in_this_process() -> None:
    marks: list[bool] = []

    async def handle(message: InboundMessage, output: QueueOutput) -> None:
        marks.append(message.redelivered)
        if message.text == "fail":
            raise ZeroDivisionError
        await asyncio.Event().wait()

    turns, _ = make(handle)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await turns.run(an_inbound("e1", text="fail"))
    for number in (3, 4):
        turn = asyncio.ensure_future(turns.run(an_inbound("e2")))
        await eventually(lambda number=number: len(marks) == number)
        turn.cancel()
        await asyncio.wait({turn})
    assert marks == [False, True, False, True]


async def test_a_turn_that_no_request_awaits_publishes_no_turn_end() -> None:
    turns, publisher = make()
    await turns.finished(an_inbound(), None)
    await turns.finished(an_inbound(), "ValueError")
    assert publisher.calls == 0


@pytest.mark.parametrize("error", [None, "ValueError"])
async def test_a_waiting_request_gets_the_turn_end_with_its_error(error: str | None) -> None:
    turns, publisher = make()
    await turns.finished(an_inbound("e1", reply_to=ReplyTo("amq.gen-1", "t")), error)
    (published,) = publisher.published
    assert (published.exchange, published.routing_key) == ("bridge.private", "amq.gen-1")
    assert published.properties["kind"] == "turn_end"
    assert decode(published.body, TurnEnd) == TurnEnd(in_reply_to="e1", ticket="t", error=error)


async def test_a_turn_end_is_published_again_until_it_is_confirmed() -> None:
    turns, publisher = make()
    publisher.errors = [BrokerUnavailable("gone"), PublishRefused("full")]
    await asyncio.wait_for(turns.finished(an_inbound(reply_to=ReplyTo("q", "t")), None), 30)
    assert len(publisher.published) == 1


async def test_a_turn_end_for_a_request_that_is_gone_is_dropped() -> None:
    turns, publisher = make()
    publisher.down = Unroutable("no queue")
    await asyncio.wait_for(turns.finished(an_inbound(reply_to=ReplyTo("q", "t")), None), 30)
    assert publisher.calls == 1


async def test_a_handler_receives_the_stripped_text_as_rasas_agent_does() -> None:
    heard: list[str] = []

    async def handle(message: InboundMessage, output: Any) -> None:
        heard.append(message.text)

    turns = Turns(handler=handle, queues=FakePublisher().queues(), make_output=QueueOutput)
    await turns.run(an_inbound(text="  hello\n there \n"))
    assert heard == ["hello\n there"]
