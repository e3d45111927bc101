"""Translation of the AMQP library's errors. Everything else needs a broker: tests/integration."""

from __future__ import annotations

import asyncio

import pytest

from bridge.broker.channels import translated
from bridge.errors import BrokerUnavailable


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "[Errno 104] Connection reset"),
        (asyncio.TimeoutError(), "no answer in time"),
        (StopAsyncIteration(), "the connection was closed before it was open"),
    ],
)
def test_a_connection_error_names_the_address_and_the_cause_but_no_password(
    error: Exception, said: str
) -> None:
    with pytest.raises(BrokerUnavailable) as raised, translated("amqp://u:secret@host:5672/"):
        raise error
    assert str(raised.value).startswith(f"amqp://u@host:5672/: {said}")
