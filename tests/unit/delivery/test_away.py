"""A recipient that is away: its reply waits, and nothing counts as a failure."""

from __future__ import annotations

import pytest

from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.recipients import Recipients
from bridge.errors import RecipientAway
from bridge.processing.outcomes import Unfinished
from tests.support.fakes import a_reply
from tests.unit.delivery.test_dispatcher import NO_HTTP, FakeBreaker, FakeConnector


async def test_the_rest_of_a_reply_waits_until_its_time_has_come() -> None:
    clock = [0.0]
    recipients = Recipients("fake", lambda r: (), lambda r: "", lambda r: 0, lambda: clock[0])
    connector, breaker = FakeConnector(), FakeBreaker()
    dispatcher = Dispatcher(connector, NO_HTTP, breaker, recipients)
    reply = a_reply(text="one\n\ntwo")
    connector.errors = [None, RecipientAway(2.0), None]
    with pytest.raises(Unfinished):
        await dispatcher.deliver(reply)
    assert connector.texts == ["one"]
    assert "failed" not in breaker.told
    assert recipients.wait(reply) == 2.0
    assert recipients.wait(a_reply(recipient_id="bob")) == 0
    clock[0] = 2.0
    assert recipients.wait(reply) == 0
    await dispatcher.deliver(reply)
    assert connector.texts == ["one", "two"]
    # Nothing was sent before, so the part is no repetition.
    assert not connector.accepted[-1].redelivered


async def test_another_connection_to_the_broker_knows_no_absence() -> None:
    recipients = Recipients("fake", lambda r: (), lambda r: "", lambda r: 0)
    recipients.hold(a_reply(), 60.0)
    recipients.opened()
    assert recipients.wait(a_reply()) == 0
