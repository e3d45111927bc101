"""A repeated turn is found in the tracker that Rasa loads for it, without a query of our own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.messages import InboundMessage, TurnPolicy
from bridge.messages.grouped import as_one
from bridge.runtime.work import Work, working
from tests.support.fakes import an_inbound
from worker import duplicates


@dataclass
class Event:
    message_id: str | None = None


@dataclass
class Tracker:
    sender_id: str
    events: list[Any] = field(default_factory=list)


class Processor:
    """A message processor with Rasa's `get_tracker`; `loads` counts its queries."""

    def __init__(self, *message_ids: str) -> None:
        self.stored = [Event(), *map(Event, message_ids), object()]
        self.loads = 0

    async def get_tracker(self, conversation_id: str, user_id: str | None = None) -> Tracker:
        self.loads += 1
        return Tracker(conversation_id, self.stored)


async def run(processor: Processor, message_id: str, sender: str = "ada") -> None:
    """Run a turn as Rasa does: load the tracker, add the message, save, and load it again."""
    duplicates.watch(processor)
    with duplicates.refused(an_inbound(message_id, sender_id=sender)):
        await processor.get_tracker(sender, user_id=None)
        processor.stored.append(Event(message_id))
        await processor.get_tracker(sender)


async def test_a_new_message_runs_although_its_own_turn_saves_it_half_way() -> None:
    processor = Processor("m1")
    await run(processor, "m2")
    assert processor.loads == 2


async def test_a_message_in_the_tracker_is_refused_after_one_load() -> None:
    processor = Processor("m1", "m2", "m3")
    with pytest.raises(duplicates.AlreadyRun):
        await run(processor, "m2")
    assert processor.loads == 1


async def test_a_tracker_that_changed_since_the_last_turn_is_seen() -> None:
    processor = Processor()
    await run(processor, "m1")
    processor.stored.append(Event("m2"))  # by another worker, or by a reminder
    with pytest.raises(duplicates.AlreadyRun):
        await run(processor, "m2")


async def test_the_tracker_of_another_conversation_says_nothing() -> None:
    processor = Processor("m1")
    duplicates.watch(processor)
    with duplicates.refused(an_inbound("m1", sender_id="ada")):
        await processor.get_tracker("bob")
        with pytest.raises(duplicates.AlreadyRun):
            await processor.get_tracker("ada")


async def test_turns_at_the_same_time_are_told_apart() -> None:
    processor = Processor("m1")

    async def turn(message_id: str) -> bool:
        try:
            await run(processor, message_id, sender=message_id)
        except duplicates.AlreadyRun:
            return False
        return True

    duplicates.watch(processor)
    assert list(await asyncio.gather(turn("m1"), turn("m2"))) == [False, True]


async def test_what_a_turn_leaves_behind_is_not_checked() -> None:
    processor = Processor("m1")
    duplicates.watch(processor)

    async def reminder() -> Tracker:
        await done.wait()
        return await processor.get_tracker("ada")

    done = asyncio.Event()
    with duplicates.refused(an_inbound("m1", sender_id="ada")):
        task = asyncio.create_task(reminder())
    done.set()
    assert (await task).sender_id == "ada"


async def test_a_processor_is_watched_once() -> None:
    processor = Processor()
    duplicates.watch(processor)
    watched = processor.get_tracker
    duplicates.watch(processor)
    assert processor.get_tracker is watched


def turn_of(*ids: str) -> InboundMessage:
    policy = TurnPolicy("collect")
    return as_one([an_inbound(id, text=id, turns=policy) for id in ids])


@dataclass
class Joined(Event):
    metadata: dict[str, Any] | None = None


async def ran(processor: Processor, *ids: str) -> list[str]:
    """Run a turn of several messages; return the texts with which it ran."""
    texts = []

    async def run(message: InboundMessage) -> None:
        await processor.get_tracker(message.sender_id)
        texts.append(message.text)
        processor.stored.append(Joined(message.id, message.metadata))

    duplicates.watch(processor)
    await duplicates.run_new(turn_of(*ids), run)
    return texts


async def test_each_message_of_a_turn_is_recognised_in_whatever_turn_it_comes_again() -> None:
    processor = Processor("m1")
    assert await ran(processor, "m2", "m3") == ["m2\nm3"]
    assert await ran(processor, "m2", "m3", "m4") == ["m4"]
    assert await ran(processor, "m1", "m4", "m5", "m6") == ["m5\nm6"]
    for known in (["m2"], ["m3", "m4"], ["m1", "m6"]):
        with pytest.raises(duplicates.AlreadyRun):
            await ran(processor, *known)
    with pytest.raises(duplicates.AlreadyRun):
        await run(processor, "m2")


async def test_a_turn_whose_tracker_is_being_saved_is_sealed() -> None:
    class Saving(Processor):
        async def save_tracker(self, tracker: object) -> None:
            assert running.sealed

    processor, running = Saving(), Work("m1")
    duplicates.watch(processor)
    with working(running):
        await processor.get_tracker("ada")
        assert not running.sealed
        await processor.save_tracker(None)
