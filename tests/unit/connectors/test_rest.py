"""`rest`: behaviour outside its table."""

from __future__ import annotations

import pytest

from bridge.connectors.rest import RestConnector
from bridge.errors import RejectedDeliveryError
from tests.support.fakes import a_reply, a_request


def test_two_requests_without_an_id_are_two_messages() -> None:
    request = a_request({"sender": "ada", "message": "hello"})
    assert len({RestConnector().parse(request)[0].id for _ in range(100)}) == 100


async def test_a_reply_that_reaches_deliver_is_rejected() -> None:
    with pytest.raises(RejectedDeliveryError):
        await RestConnector().deliver(a_reply(), None)  # type: ignore[arg-type]
