"""Backlogs of replies, and what a fake service tells about the rate of calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from bridge.broker.back import put_back
from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.topology import Topology
from bridge.messages import Reply, encode
from tests.support.fakes import a_reply
from tests.support.processes import Project

AT_ONCE = 200
"""Unconfirmed publishes."""


def replies(recipients: Sequence[str], each: int, channel: str = "callback") -> list[Reply]:
    """Return replies `0`, `1`, … to each recipient, in turn."""
    return [
        a_reply(f"{who}-{n}:0", channel=channel, recipient_id=who, text=str(n))
        for n in range(each)
        for who in recipients
    ]


async def put(project: Project, partitions: int, backlog: Iterable[Reply]) -> None:
    """Put replies on the queues of their channels."""
    backlog = list(backlog)
    topology = Topology(
        project.namespace, 4, partitions, tuple({reply.channel for reply in backlog})
    )
    async with connect(project.broker_url, "test") as connection:
        await ensure_topology(connection, topology)
        channel = await connection.confirm_channel()
        for start in range(0, len(backlog), AT_ONCE):
            await asyncio.gather(
                *(
                    put_back(channel, topology, reply, encode(reply))
                    for reply in backlog[start : start + AT_ONCE]
                )
            )


class Stalls:
    """Measures for how long this process stood still: its fake service then gets calls late."""

    TICK = 0.01
    ABSORBED = 0.05
    """Seconds that a limit's reserve absorbs."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds of the longest stall beyond that,"""
        self.total = 0.0
        """and of all stalls together."""

    @property
    def slack(self) -> float:
        """Seconds by which a window of calls may be too long.

        On a busy machine, calls leave `deliver` late, too, and only our own stalls are measured.
        """
        return 2 * (self.longest + self.ABSORBED)

    async def __aenter__(self) -> Stalls:
        self._ticking = asyncio.ensure_future(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ticking.cancel()

    async def _tick(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(self.TICK)
            late = time.monotonic() - before - self.TICK - self.ABSORBED
            self.longest = max(self.longest, late)
            self.total += max(0.0, late)


def most_in(times: Sequence[float], seconds: float = 1.0) -> int:
    """Return the largest number of calls in any window of this length."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def use(times: Sequence[float], rate: float, stalled: float = 0.0) -> float:
    """Return the share of a rate that was used from the first call to the last.

    `stalled`: seconds in which the service stood still, so that no call could be made.
    """
    return (len(times) - 1) / (times[-1] - times[0] - stalled) / rate
