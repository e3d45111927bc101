"""Which thread and which event loop run a foreign output channel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.connectors.wrapped import outgoing
from bridge.connectors.wrapped.outgoing import deliver, in_thread, outside_loop, sender
from bridge.errors import RetryableDeliveryError
from tests.support.fakes import a_reply


class Output:
    """Records where each text was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, asyncio.AbstractEventLoop]] = []

    async def send_text_message(self, to: str, text: str) -> None:
        self.sent.append((text, threading.get_ident(), asyncio.get_running_loop()))

    @property
    def threads(self) -> set[int]:
        return {thread for _, thread, _ in self.sent}


class Blocking(Output):
    """Calls a blocking client in its coroutine, as Rasa's Facebook channel does."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    async def send_text_message(self, to: str, text: str) -> None:
        if to == "slow":
            self.released.wait(60)
        await super().send_text_message(to, text)


class LoopBound(Output):
    """Awaits an object of the event loop in which it was made, as a socket is."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, self.opened.set_result, None)

    async def send_text_message(self, to: str, text: str) -> None:
        await self.opened
        await super().send_text_message(to, text)


class Channel:
    """An input channel whose output channel can be rebuilt."""

    def __init__(self, make: Callable[[], Output]) -> None:
        self.get_output_channel = make


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    output = Blocking()
    yield output
    output.released.set()


async def test_a_blocking_client_in_deliver_delays_only_its_own_reply(blocking: Blocking) -> None:
    channel = Channel(lambda: blocking)
    slow = asyncio.ensure_future(deliver(a_reply("1:0", recipient_id="slow"), channel, None))
    await deliver(a_reply("2:0", recipient_id="quick", text="quick"), channel, None)
    assert [text for text, *_ in blocking.sent] == ["quick"]
    assert not slow.done()
    blocking.released.set()
    await slow
    assert threading.get_ident() not in blocking.threads


async def test_an_output_channel_is_built_in_the_thread_that_runs_it() -> None:
    built = []

    class Building(Output):
        def __init__(self) -> None:
            super().__init__()
            # As Rasa's Telegram channel, which fails where an event loop runs.
            asyncio.run(asyncio.sleep(0))
            built.append((threading.get_ident(), self))

    await deliver(a_reply(), Channel(Building), None)
    ((thread, output),) = built
    assert output.threads == {thread}


async def test_run_in_thread_false_sends_in_the_event_loop_of_deliver() -> None:
    output = LoopBound()
    await deliver(a_reply(), Channel(lambda: output), False)
    assert output.threads == {threading.get_ident()}


async def test_an_output_channel_that_fails_is_tried_again() -> None:
    def fail() -> Output:
        raise ValueError("needs the request")

    with pytest.raises(RetryableDeliveryError, match="Channel: ValueError"):
        await deliver(a_reply(), Channel(fail), None)


async def test_a_held_output_channel_may_use_objects_of_its_event_loop() -> None:
    output = LoopBound()
    await sender(output, None)(a_reply())
    assert [loop for *_, loop in output.sent] == [asyncio.get_running_loop()]


async def test_run_in_thread_true_keeps_a_held_output_channel_off_the_event_loop(
    blocking: Blocking,
) -> None:
    send = sender(blocking, True)
    slow = asyncio.ensure_future(send(a_reply("1:0", recipient_id="slow")))
    await send(a_reply("2:0", recipient_id="quick"))
    assert not slow.done()
    blocking.released.set()
    await slow
    assert threading.get_ident() not in blocking.threads


@pytest.mark.parametrize("run_in_thread", [None, False])
async def test_rasas_blocking_output_channels_run_in_threads_by_default(
    run_in_thread: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Custom(Output):
        """A subclass is recognised by the module of its base class."""

    monkeypatch.setattr(outgoing, "BLOCKING", {Output.__module__})
    output = Custom()
    await sender(output, run_in_thread)(a_reply())
    assert (output.threads == {threading.get_ident()}) == (run_in_thread is False)


async def test_a_call_in_a_thread_does_not_block_the_event_loop() -> None:
    released = threading.Event()
    waiting = asyncio.ensure_future(in_thread(lambda: released.wait(60)))
    await asyncio.sleep(0)
    assert not waiting.done()
    released.set()
    assert await waiting


async def test_an_error_in_a_thread_is_raised_to_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_code_outside_the_event_loop_can_run_another_one() -> None:
    def run() -> Any:
        return asyncio.run(asyncio.sleep(0, "ran"))

    assert outside_loop(run) == "ran"
