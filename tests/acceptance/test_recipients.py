"""Some recipients of a service fail for a while: the others are not affected, nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.broker import free_port
from tests.support.ledger import Entry
from tests.support.load import HANDLER, Load
from tests.support.processes import Project
from tests.support.service import FakeService, Trouble, troubled
from tests.support.waiting import eventually

CONVERSATIONS = 120
QUIET_CONVERSATIONS = 200
FIRST_DELIVERY = 4.0
"""Seconds: a pause of the channel lasts 5. On a busy machine, acknowledgements take long, too."""
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

        await eventually(answered, "the healthy are served while the others fail")
        assert healthy(load.ledger.delivered) == set(load.ledger.delivered)
        trouble.end()
    ledger = await load.settled()
    ledger.check()
    assert set(ledger.acknowledged) == set(ledger.delivered)
    assert "circuit breaker open" not in deliver.log


@pytest.mark.parametrize("how", ["429", "500"])
async def test_a_failing_tenth_on_a_quiet_channel_does_not_delay_the_others(
    how: str, project: Project, service: FakeService
) -> None:
    """The failing recipients come first, and fail faster than the others are served."""
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    port = free_port()
    load = Load(project, service, [port])
    failing = [f"c{n}" for n in range(QUIET_CONVERSATIONS // 10)]
    trouble = Trouble(dict.fromkeys(failing, how))
    service.answer = trouble.answer
    await asyncio.gather(
        project.webhook(port),
        project.worker("--handler", "handler:handle"),
        project.deliver(),
    )
    # Each conversation sends once, then the next one.
    async with load.running(QUIET_CONVERSATIONS, rate=40):
        await eventually(
            lambda: (
                len({call.body["recipient_id"] for call in service.accepted})
                == QUIET_CONVERSATIONS - len(failing)
            ),
            "every healthy recipient has a reply",
        )
        accepted = {call.body["text"]: call.at for call in reversed(service.accepted)}
        trouble.end()
    firsts = {name: began for name, began in load.began.items() if name.number == 0}
    waits = [
        accepted[f"{name.conversation}/0"] - began
        for name, began in firsts.items()
        if name.conversation not in failing
    ]
    assert max(waits) < FIRST_DELIVERY + load.slowest
    ledger = await load.settled()
    ledger.check()
    assert set(ledger.acknowledged) == set(ledger.delivered)
