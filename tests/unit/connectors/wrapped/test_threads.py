"""What blocks runs in threads, and which output channels do."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from bridge.connectors.wrapped.threads import blocks, in_thread, outside_loop


class Rasas:
    """As Rasa's OutputChannel: what it has not itself is made of texts."""

    async def send_response(self, to: str, message: dict[str, Any]) -> None:
        await self.send_text_message(to, message["text"])
        await self.send_elements(to, [])

    async def send_text_message(self, to: str, text: str) -> None:
        raise NotImplementedError

    async def send_elements(self, to: str, elements: Any) -> None:
        for _ in elements:
            await self.send_text_message(to, "…")


class Blocking(Rasas):
    async def send_text_message(self, to: str, text: str) -> None:
        await self._post(text)

    async def _post(self, text: str) -> None:
        time.sleep(0)  # noqa: ASYNC251

    async def never_called(self) -> None:
        await asyncio.sleep(0)


class Inheriting(Blocking):
    async def send_elements(self, to: str, elements: Any) -> None:
        await super().send_elements(to, elements)


class Awaiting(Rasas):
    async def send_text_message(self, to: str, text: str) -> None:
        await asyncio.sleep(0)


class AwaitingItsClient(Rasas):
    client: Any = None

    async def send_text_message(self, to: str, text: str) -> None:
        await self.client.post(text)


class AwaitingFurtherDown(Blocking):
    async def _post(self, text: str) -> None:
        async with asyncio.Lock():
            pass


class AwaitingWhatItIsGiven(Rasas):
    def __init__(self, callback: Any) -> None:
        self._callback = callback

    async def send_text_message(self, to: str, text: str) -> None:
        await self._callback(text)


class AwaitingUnderneath(Awaiting):
    async def send_text_message(self, to: str, text: str) -> None:
        await super().send_text_message(to, text)


def sourceless() -> type:
    namespace: dict[str, Any] = {}
    exec("class Sourceless:\n  async def send_text_message(self, to, text): pass", namespace)
    made: type = namespace["Sourceless"]
    return made


@pytest.mark.parametrize("cls", [Blocking, Inheriting], ids=lambda cls: cls.__name__)
def test_a_class_that_awaits_only_itself_blocks(cls: type) -> None:
    assert blocks(cls)


@pytest.mark.parametrize(
    "cls",
    [
        Awaiting,
        AwaitingItsClient,
        AwaitingFurtherDown,
        AwaitingWhatItIsGiven,
        AwaitingUnderneath,
        sourceless(),
    ],
    ids=lambda cls: cls.__name__,
)
def test_a_class_that_awaits_anything_else_may_need_its_loop(cls: type) -> None:
    assert not blocks(cls)


async def test_a_call_in_a_thread_does_not_stop_the_loop() -> None:
    released = threading.Event()
    waiting = asyncio.ensure_future(in_thread(lambda: released.wait(60)))
    await asyncio.sleep(0)
    assert not waiting.done()
    released.set()
    assert await waiting


async def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_outside_the_loop_another_loop_can_run() -> None:
    assert outside_loop(lambda: asyncio.run(asyncio.sleep(0, "ran"))) == "ran"
