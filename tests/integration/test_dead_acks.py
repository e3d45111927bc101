"""RabbitMQ carries out every ack of a reader of dead letters, also those before its channel closes.

A quorum queue keeps back acks while 32 commands are under way, and drops them with the channel.
"""

from __future__ import annotations

from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge, depths, nothing
from bridge.dead_letters.replay import Replay
from tests.support.dead_letters import Dead, talk

LETTERS = 1000


async def test_what_was_purged_does_not_come_back(dead: Dead) -> None:
    await dead.put_all(talk(100, LETTERS // 100))
    url, wanted = dead.project.broker_url, Filter()
    for stop_at in (LETTERS // 3, LETTERS):
        left = await depths(url, dead.topology, wanted)
        work = Purge(url, dead.topology, wanted)

        def tick(work: Purge = work, most: int = stop_at) -> None:
            if work.deleted >= most:
                work.stop()

        await work.run(left, None, tick)
        assert len(await dead.ids()) == left["inbound"] - work.deleted
    assert await dead.ids() == []


async def test_what_was_replayed_does_not_come_back(dead: Dead) -> None:
    await dead.put_all(talk(100, LETTERS // 100))
    url, wanted = dead.project.broker_url, Filter()
    replayed = 0
    while left := len(await dead.ids()):
        assert left == LETTERS - replayed
        work = Replay(url, dead.topology, wanted)

        def tick(work: Replay = work) -> None:
            if work.replayed >= 350:
                work.stop()

        await work.run(await depths(url, dead.topology, wanted), nothing, tick)
        replayed += work.replayed
    assert replayed == LETTERS == await dead.waiting()
