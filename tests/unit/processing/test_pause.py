from __future__ import annotations

import asyncio

from bridge.processing.pause import PausableGate
from tests.support.fakes import an_inbound, quiet
from tests.unit.processing.test_processor import Bench, ManualGate


async def test_nothing_starts_while_a_flow_is_paused() -> None:
    bench = Bench()
    bench.processor.gate.pause()
    for n in range(3):
        bench.admit(an_inbound(f"e{n}", sender_id=f"user {n}"))
    await quiet()
    assert bench.journal == []
    assert bench.processor.report().stopped
    assert not bench.processor.report().paused
    bench.processor.gate.resume()
    await quiet()
    assert sorted(bench.ids("acked")) == ["e0", "e1", "e2"]


async def test_an_attempt_that_waits_for_a_slot_does_not_start_after_a_pause() -> None:
    bench = Bench(concurrency=1)
    running = asyncio.Event()
    bench.plans["e0"] = [running]
    for n in range(3):
        bench.admit(an_inbound(f"e{n}", sender_id=f"user {n}"))
    await quiet()
    bench.processor.gate.pause()
    running.set()
    await quiet()
    assert bench.ids("acked") == ["e0"]  # what runs goes on
    assert bench.ids("attempt") == ["e0"]
    bench.processor.gate.resume()
    await quiet()
    assert sorted(bench.ids("acked")) == ["e0", "e1", "e2"]


async def test_a_paused_message_keeps_its_attempts() -> None:
    bench = Bench()
    bench.plans["e1"] = [RuntimeError("once")]
    bench.admit(an_inbound("e1"))
    await quiet()
    assert bench.of("e1")[-1] == "acked"
    bench.processor.gate.pause()
    bench.plans["e2"] = [RuntimeError("again")] * 2
    bench.admit(an_inbound("e2"))
    await quiet()
    assert bench.of("e2") == []
    bench.processor.gate.resume()
    await quiet()
    assert bench.of("e2").count("attempt") == 3
    assert not bench.dead


async def test_a_drain_during_a_pause_settles_nothing() -> None:
    bench = Bench()
    bench.processor.gate.pause()
    bench.admit(an_inbound("e1"))
    await quiet()
    assert await bench.generation.drain(grace=1.0) is True
    bench.processor.gate.resume()
    await quiet()
    assert bench.journal == []


async def test_a_pause_ends_before_a_service_that_is_down_is_probed() -> None:
    inner = ManualGate()
    gate = PausableGate(inner)
    inner.close()
    gate.pause()
    passed = asyncio.ensure_future(gate.passage("ada"))
    gate.try_now()
    await quiet()
    assert not passed.done()
    gate.resume()
    await quiet()
    assert passed.done()


async def test_a_lane_waits_again_if_a_pause_begins_while_its_service_is_down() -> None:
    inner = ManualGate()
    gate = PausableGate(inner)
    inner.close()
    passed = asyncio.ensure_future(gate.passage("ada"))
    await quiet()
    gate.pause()
    inner.open()
    await quiet()
    assert not passed.done()
    gate.resume()
    await quiet()
    assert passed.done()
