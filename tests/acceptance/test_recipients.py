"""Some recipients of a service fail for a while: the others are not affected, nothing is lost."""

from __future__ import annotations

import asyncio

from tests.support.broker import free_port
from tests.support.ledger import Entry
from tests.support.load import HANDLER, Load
from tests.support.processes import Project
from tests.support.service import FakeService, Trouble, troubled
from tests.support.waiting import eventually

CONVERSATIONS = 120
FAILING = [f"c{n}" for n in range(0, CONVERSATIONS, 10)]


async def test_a_failing_tenth_of_the_recipients_does_not_affect_the_others(
    project: Project, service: FakeService
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    port = free_port()
    load = Load(project, service, [port])
    trouble = Trouble(troubled(FAILING))
    service.answer = trouble.answer
    _, _, deliver = await asyncio.gather(
        project.webhook(port),
        project.worker("--handler", "handler:handle"),
        project.deliver(),
    )

    def healthy(entries: list[Entry]) -> set[Entry]:
        return {entry for entry in entries if entry.conversation not in FAILING}

    async with load.running(CONVERSATIONS, rate=120):
        # Wait until several stalled calls have timed out.
        await deliver.prints("did not answer in time", count=4)
        await eventually(lambda: min(trouble.refused[name] for name in FAILING) >= 2)
        asked = healthy(load.ledger.acknowledged)

        def answered() -> bool:
            load.read()
            return asked <= healthy(load.ledger.delivered)

        await eventually(answered, "the healthy are served while the others fail", patience=20)
        assert healthy(load.ledger.delivered) == set(load.ledger.delivered)
        trouble.end()
    ledger = await load.settled()
    ledger.check()
    assert set(ledger.acknowledged) == set(ledger.delivered)
    assert "circuit breaker open" not in deliver.log
