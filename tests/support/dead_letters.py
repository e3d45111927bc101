"""A project with dead letters, for the tests of `rasa-bridge dead`."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bridge.broker.confirms import ConfirmChannel
from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import scan
from bridge.messages import (
    INBOUND,
    REPLIES,
    TYPES,
    DeadLetter,
    InboundMessage,
    Reply,
    encode,
)
from tests.support.cli import run_bridge
from tests.support.fakes import an_inbound
from tests.support.processes import Process, Project

RECORD = """
import os

async def handle(message, output):
    \"\"\"Answer and record each turn; fail while the file `broken` exists.\"\"\"
    if os.path.exists("broken"):
        raise ValueError("broken")
    await output.send_text_message(message.sender_id, message.text)
    with open("turns", "a") as turns:
        turns.write(f"{message.sender_id} {message.text}\\n")
"""
SECRET = "xyzzy-plugh"


@dataclass
class Dead:
    """A project whose dead letters are written by the test."""

    project: Project
    topology: Topology
    channel: ConfirmChannel

    async def put(
        self, message: InboundMessage | Reply | bytes, *, ago: float = 60, **changes: object
    ) -> None:
        """Dead-letter a message as a role would have done `ago` seconds ago."""
        flow = REPLIES if isinstance(message, Reply) else INBOUND
        known = None if isinstance(message, bytes) else message
        letter = DeadLetter.of(known, ValueError("words"), flow=flow, reason="failed", attempts=7)
        letter = replace(letter, last_at=time.time() - ago, **changes)  # type: ignore[arg-type]
        await self.channel.publish(
            self.topology.dead_exchange,
            flow,
            message if isinstance(message, bytes) else encode(message),
            kind=TYPES[type(message)] if known else flow,
            message_id=letter.id,
            headers=letter.headers(),
            timeout=10,
        )

    async def put_all(self, messages: Iterable[InboundMessage]) -> None:
        """Dead-letter messages, in order per conversation and conversations in parallel."""
        lanes: dict[str, list[InboundMessage]] = defaultdict(list)
        for message in messages:
            lanes[message.sender_id].append(message)

        async def put_lane(lane: list[InboundMessage]) -> None:
            for message in lane:
                await self.put(message)

        await asyncio.gather(*(put_lane(lane) for lane in lanes.values()))

    def run(self, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        return run_bridge(self.project.directory, "dead", *arguments, answer=answer)

    async def ids(self) -> list[str]:
        """Return the ids of all dead letters, in order."""
        url, wanted = self.project.broker_url, Filter()
        among = await dead_letter_queue.depths(url, self.topology, wanted)
        return [letter.id async for letter, _ in scan(url, self.topology, wanted, among)]

    async def depth(self, queue: str) -> int:
        async with connect(self.project.broker_url, "test") as connection:
            return await connection.ready_messages(f"{self.topology.namespace}.{queue}") or 0

    async def waiting(self) -> int:
        """Return the number of messages on the inbound partitions."""
        return sum([await self.depth(f"inbound.{n:02}") for n in range(4)])

    def turns(self) -> list[tuple[str, int]]:
        """Return (conversation, number) of each turn that the handler completed."""
        path = self.project.directory / "turns"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    async def worker(self) -> Process:
        self.project.write("record.py", RECORD)
        return await self.project.worker("--handler", "record:handle", "--retry-for", "0")


def talk(conversations: int, each: int) -> list[InboundMessage]:
    return [
        an_inbound(f"u{c}-{n}", sender_id=f"u{c}", text=str(n))
        for n in range(each)
        for c in range(conversations)
    ]


def by_conversation(turns: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for conversation, number in turns:
        found[conversation].append(number)
    return dict(found)
