"""The tap: every frame reaches exactly one of aiormq and the fast path, however bytes arrive."""

from __future__ import annotations

from collections.abc import Callable

import pamqp.frame
import pytest
from hypothesis import given, strategies as st
from pamqp import commands
from pamqp.heartbeat import Heartbeat

from bridge.broker.fast_path.consuming import Consuming, Received
from bridge.broker.fast_path.tap import LARGEST_WRITE
from tests.unit.broker.fast_path.wires import Wire, deliver, message, sent

FOREIGN = (
    sent(Heartbeat(), 0),
    sent(commands.Connection.Blocked("low on memory"), 0),
    sent(commands.Basic.QosOk()),
    message(commands.Basic.GetOk(7, False, "e", "k", 3), b"taken"),
    deliver(9, channel=2),
)
"""Frames that are aiormq's, whatever comes between them."""


def ends_of(data: bytes) -> list[tuple[int, int]]:
    """Return where each frame begins and ends."""
    found, at = [], 0
    while at < len(data):
        end = at + pamqp.frame.unmarshal(data[at:])[0]
        found.append((at, end))
        at = end
    return found


@given(
    st.lists(st.sampled_from((*FOREIGN, b"")), max_size=12),
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
)
async def test_frames_are_told_apart_however_they_are_cut(
    foreign: list[bytes], cuts: list[int]
) -> None:
    wire, taken = Wire(), []
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", lambda received: taken.append((received.tag, received.body)))
    stream = b"".join(
        each or deliver(tag, b"x" * tag, piece=5) for tag, each in enumerate(foreign, 1)
    )
    while stream:
        size = cuts[len(stream) % len(cuts)]
        wire.tap.data_received(stream[:size])
        stream = stream[size:]
    assert wire.behind.received == b"".join(foreign)
    expected = [(tag, b"x" * tag) for tag, each in enumerate(foreign, 1) if not each]
    assert taken == expected


@pytest.mark.parametrize("between", [0, 1, 2])
@pytest.mark.parametrize("foreign", [FOREIGN[0], FOREIGN[1], FOREIGN[-1]])
async def test_frames_of_other_channels_may_come_between_those_of_a_message(
    foreign: bytes, between: int
) -> None:
    """A message whose frames stand side by side is taken at once; this one is not."""
    wire, taken = Wire(), []
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", lambda received: taken.append((received.tag, received.body)))
    frames = [deliver(7)[at:end] for at, end in ends_of(deliver(7))]
    frames.insert(between, foreign)
    wire.tap.data_received(b"".join(frames) + deliver(8))
    assert wire.behind.received == foreign
    assert taken == [(7, b"{}"), (8, b"{}")]


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad", b"AMQP\0\0\x09\x01"])
async def test_what_is_no_frame_is_passed_on_untouched(garbage: bytes) -> None:
    wire = Wire()
    wire.tap.data_received(sent(Heartbeat(), 0) + garbage)
    wire.tap.data_received(deliver(1))
    assert wire.behind.received == sent(Heartbeat(), 0) + garbage + deliver(1)


@pytest.mark.parametrize("frame", [1, 2])
async def test_a_message_with_a_broken_frame_is_not_delivered(frame: int) -> None:
    wire = Wire()
    taken: list[Received] = []
    Consuming(wire.tap, 1).on("c", taken.append)
    broken = bytearray(deliver(1))
    at, end = ends_of(deliver(1))[frame]
    broken[end - 1] = 0
    wire.tap.data_received(bytes(broken))
    assert taken == []
    assert wire.behind.received == broken[at:]


async def test_a_frame_without_its_end_is_passed_on() -> None:
    wire = Wire()
    broken = sent(commands.Basic.QosOk())[:-1] + b"?"
    wire.tap.data_received(broken)
    assert wire.behind.received == broken


async def test_everything_of_one_pass_is_one_write() -> None:
    wire = Wire()
    for n in range(5):
        wire.tap.write(b"%d" % n)
    assert wire.transport.writes == []
    assert wire.tap._items
    wire.tap.flush()
    assert wire.transport.writes == [b"01234"]


async def test_a_full_socket_holds_back_what_is_not_written() -> None:
    wire, rendered = Wire(), []
    wire.transport.capacity = 2 * LARGEST_WRITE

    def item(n: int) -> Callable[[], bytes]:
        def render() -> bytes:
            rendered.append(n)
            return b"x" * 1024

        return render

    for n in range(1000):
        wire.tap.write(item(n))
    wire.tap.flush()
    assert wire.behind.is_paused
    assert 128 < len(rendered) <= 192
    wire.transport.capacity = 1 << 30
    wire.tap.resume_writing()
    assert not wire.behind.is_paused
    assert rendered == list(range(1000))
    assert len(b"".join(wire.transport.writes)) == 1000 * 1024


@pytest.mark.parametrize(
    "closing", [commands.Channel.CloseOk(), commands.Channel.Close(404, "no", 60, 40)]
)
async def test_a_closed_channel_gets_no_frame_and_its_number_is_free(
    closing: pamqp.frame.FrameTypes,
) -> None:
    wire = Wire()
    taken: list[Received] = []
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", taken.append)
    wire.tap.data_received(sent(closing) + deliver(1))
    consuming.settle(1)
    assert await wire.written() == []
    assert wire.behind.received == sent(closing) + deliver(1)
    assert taken == []
