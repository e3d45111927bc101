"""What `gathering` keeps of a lane that waits, a running turn, and a message of an ended one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from bridge.messages import Delivery, InboundMessage
from bridge.processing.outcomes import Failure
from bridge.runtime.work import Work


@dataclass(eq=False)
class Waiting:
    """A lane that waits until its conversation is quiet."""

    queue: str
    woken: asyncio.Future[None] | None = None
    is_hurried: bool = False

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


@dataclass(eq=False)
class Running:
    """A turn that a new message may interrupt."""

    delivery: Delivery
    head: InboundMessage
    work: Work
    ids: set[str]
    task: asyncio.Task[Any]
    is_interrupted: bool = False


@dataclass
class Ended:
    """How the turn of a message ended that is not settled yet."""

    group: str = ""
    failure: Failure | None = None
