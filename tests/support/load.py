"""Steady load on a project's webhook, and the ledger of its messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import aiohttp

from tests.support.dead import dead_letters
from tests.support.ledger import Entry, Ledger
from tests.support.processes import Project
from tests.support.service import FakeService

HANDLER = """
import asyncio
import os

LOG = os.open("turns.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def handle(message, output):
    await asyncio.sleep(0.02)
    await output.send_text_message(message.sender_id, message.text)
    os.write(LOG, f"{message.text}\\n".encode())
"""
"""Replies with the text, then records the turn: turns.log contains finished turns only."""

UNCONFIRMED = "reply not confirmed yet (no confirm within"


def entry(text: str) -> Entry:
    conversation, _, number = text.partition("/")
    return Entry(conversation, int(number))


class Load:
    """Conversations that send one message after another, each once the last is acknowledged.

    A message that is refused or not answered is sent again with the same id, as providers do.
    """

    def __init__(self, project: Project, service: FakeService, ports: list[int]) -> None:
        self.ledger = Ledger()
        self.slowest = 0.0
        """The slowest acknowledgement, in seconds."""
        self.refusals: set[int] = set()
        self.began: dict[Entry, float] = {}
        """When each message was first sent (`time.monotonic`)."""
        self._project = project
        self.service = service
        self.ports = ports
        self._running = True

    @contextlib.asynccontextmanager
    async def running(self, conversations: int, rate: float) -> AsyncIterator[None]:
        """Send `rate` messages per second in total while the block runs."""
        pause = conversations / rate
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            talking = [
                asyncio.create_task(self._talk(http, f"c{n}", pause, n / rate))
                for n in range(conversations)
            ]
            try:
                yield
            finally:
                self._running = False
                await asyncio.gather(*talking)

    async def backlog(self, conversations: int, each: int, connections: int = 20) -> None:
        """Send `each` messages per conversation, as fast as they are acknowledged."""
        shares = [range(n, conversations, connections) for n in range(connections)]

        async def talk(http: aiohttp.ClientSession, share: range) -> None:
            for number in range(each):
                for n in share:
                    await self._send(http, Entry(f"c{n}", number))

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
            await asyncio.gather(*(talk(http, share) for share in shares))

    async def send(self, *messages: Entry) -> None:
        """Send single messages, each once the one before is acknowledged."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
            for message in messages:
                await self._send(http, message)

    async def _talk(
        self, http: aiohttp.ClientSession, conversation: str, pause: float, start: float
    ) -> None:
        await asyncio.sleep(start)
        number = 0
        while self._running:
            await self._send(http, Entry(conversation, number))
            number += 1
            await asyncio.sleep(pause)

    async def _send(self, http: aiohttp.ClientSession, message: Entry) -> None:
        self.ledger.sent.append(message)
        self.began[message] = time.monotonic()
        text = f"{message.conversation}/{message.number}"
        body = {"sender": message.conversation, "message": text, "message_id": text}
        attempt = 0
        while True:
            port = self.ports[attempt % len(self.ports)]
            attempt += 1
            url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                async with http.post(url, json=body) as response:
                    elapsed = asyncio.get_running_loop().time() - began
                    self.slowest = max(self.slowest, elapsed)
                    if response.status == 200:
                        self.ledger.acknowledged.append(message)
                        return
                    self.refusals.add(response.status)
            await asyncio.sleep(0.05)

    async def settled(self, patience: float = 90) -> Ledger:
        """Wait until every acknowledged message is answered or dead-lettered; return the ledger."""
        deadline = time.monotonic() + patience
        while True:
            self.read()
            if self._open():
                await self._read_dead_letters()
            # After the deadline, the ledger's check explains best what is missing.
            if not self._open() or time.monotonic() > deadline:
                self.ledger.unconfirmed = self._project.count(UNCONFIRMED)
                return self.ledger
            await asyncio.sleep(0.2)

    def _open(self) -> set[Entry]:
        """Messages acknowledged, but neither answered nor dead-lettered yet."""
        known = {*self.ledger.delivered, *self.ledger.dead}
        return {message for message in self.ledger.acknowledged if message not in known}

    async def _read_dead_letters(self) -> None:
        url, namespace = self._project.broker_url, self._project.namespace
        found = [
            *await dead_letters(url, namespace),
            *await dead_letters(url, namespace, "replies"),
        ]
        self.ledger.dead = [entry(letter.body["text"]) for letter in found]
        self.ledger.reasons = Counter(letter.reason for letter in found)

    def read(self) -> Ledger:
        """Read the turns and the deliveries so far into the ledger, and return it."""
        log = self._project.directory / "turns.log"
        lines = log.read_text().splitlines() if log.exists() else []
        self.ledger.run = [entry(line) for line in lines]
        self.ledger.delivered = [entry(call.body["text"]) for call in self.service.accepted]
        self.ledger.unmarked = list(self._unmarked())
        return self.ledger

    def _unmarked(self) -> Iterator[Entry]:
        seen: set[Entry] = set()
        for reply, call in zip(self.ledger.delivered, self.service.accepted, strict=True):
            if reply in seen and call.headers.get("X-Redelivered") != "true":
                yield reply
            seen.add(reply)

    def summary(self) -> dict[str, int]:
        """Return the ledger's counts and the slowest acknowledgement in ms."""
        return {**self.ledger.counts(), "ack ms": round(self.slowest * 1000)}
