"""`rest`: behaviour outside its table."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connectors.registry import load_channel
from bridge.connectors.rest import RestConnector
from bridge.errors import RejectedDeliveryError
from tests.support.fakes import a_reply, a_request


def test_two_requests_without_an_id_are_two_messages() -> None:
    request = a_request({"sender": "ada", "message": "hello"})
    assert len({RestConnector().parse(request)[0].id for _ in range(100)}) == 100


async def test_a_reply_that_reaches_deliver_is_rejected() -> None:
    with pytest.raises(RejectedDeliveryError):
        await RestConnector().deliver(a_reply(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("section", "seconds"), [({}, 5.0), ({"timeout": 60}, 60.0)])
@pytest.mark.parametrize("channel", [{"rest": {}}, {"rasa": {"url": "http://x.org"}}])
def test_the_time_limit_of_the_role_holds_unless_the_channel_has_its_own(
    channel: dict[str, Any], section: dict[str, Any], seconds: float
) -> None:
    ((name, keys),) = channel.items()
    connector: Any = load_channel(name, {**keys, **section}).connector
    assert connector.timeout == 60.0
    connector.response_timeout = 5.0
    assert connector.timeout == seconds
