"""The whole system as processes under load: webhooks, workers and deliver on one broker."""

from __future__ import annotations

import asyncio
import os
from typing import TypeVar

from tests.support.broker import free_port
from tests.support.load import HANDLER, Load
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

T = TypeVar("T")

CONCURRENCY = 16
"""Concurrent turns per worker: at most this many are interrupted by a kill."""
CHAOS = bool(os.environ.get("RASA_BRIDGE_CHAOS"))
"""Set by `make chaos`: more faults, more messages."""


def longer(short: T, chaos: T) -> T:
    """Return `short` in normal tests, `chaos` in `make chaos`."""
    return chaos if CHAOS else short


class System:
    """Any number of processes of each role, on one broker."""

    def __init__(self, project: Project, service: FakeService) -> None:
        self.project = project
        self.ports = [free_port(), free_port()]
        self.load = Load(project, service, self.ports)
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("handler.py", HANDLER)

    async def worker(self) -> Process:
        return await self.project.worker("--handler", "handler:handle")

    async def start(self, workers: int = 2) -> tuple[list[Process], list[Process], Process]:
        webhooks, running, deliver = await asyncio.gather(
            asyncio.gather(*(self.project.webhook(port) for port in self.ports)),
            asyncio.gather(*(self.worker() for _ in range(workers))),
            self.project.deliver(),
        )
        return list(webhooks), list(running), deliver

    async def progress(self, messages: int = 30) -> None:
        """Wait until this many more replies are delivered: time as the load sees it."""
        ledger = self.load.ledger
        self.load.read()
        goal = len(ledger.delivered) + messages

        def reached() -> bool:
            self.load.read()
            return len(ledger.delivered) >= goal

        await eventually(reached, f"{messages} more replies\n{ledger.table()}")
