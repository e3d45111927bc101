"""Translation of the AMQP library's errors, and a cancelled close. Everything else needs a broker:
tests/integration."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ProbableAuthenticationError,
)

from bridge.broker import library
from bridge.broker.channels import ConsumerChannel
from bridge.broker.library import not_found_is_temporary, translated
from bridge.errors import AccessRefused, BrokerUnavailable, LoginRefused, TopologyError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "[Errno 104] Connection reset"),
        (asyncio.TimeoutError(), "no answer in time"),
        (asyncio.QueueFull(), "the broker does not read from the socket"),
        (StopAsyncIteration(), "the connection was closed before it was open"),
    ],
)
def test_a_connection_error_names_the_address_and_the_cause_but_no_password(
    error: Exception, said: str
) -> None:
    with pytest.raises(BrokerUnavailable) as raised, translated("amqp://u:secret@host:5672/"):
        raise error
    assert str(raised.value).startswith(f"amqp://u@host:5672/: {said}")


def test_a_refused_login_says_what_to_fix_and_no_password() -> None:
    with pytest.raises(LoginRefused) as raised, translated("amqp://u:secret@host:5672/"):
        raise ProbableAuthenticationError("ACCESS_REFUSED - Login was refused")
    assert str(raised.value) == (
        "amqp://u@host:5672/: login refused; fix the user and password in bridge.url"
    )


def test_a_missing_permission_is_told_apart_from_other_channel_errors() -> None:
    with pytest.raises(AccessRefused), translated():
        raise ChannelAccessRefused("ACCESS_REFUSED - configure access to queue 'x' refused")
    with pytest.raises(TopologyError) as raised, translated():
        raise ChannelNotFoundEntity("NOT_FOUND - no queue 'x'")
    assert not isinstance(raised.value, AccessRefused)


def test_a_declared_queue_that_is_not_found_is_a_temporary_error() -> None:
    with pytest.raises(BrokerUnavailable, match="is down"), translated(), not_found_is_temporary():
        raise ChannelNotFoundEntity("NOT_FOUND - home node 'x' of queue 'y' is down")


@pytest.mark.parametrize(
    ("cause", "fix"),
    [
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "5671"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "?cafile="),
    ],
)
def test_a_failed_tls_handshake_says_what_to_fix(cause: ssl.SSLError, fix: str) -> None:
    with pytest.raises(BrokerUnavailable) as raised, translated("amqps://host/"):
        raise ConnectionError(*cause.args) from cause
    assert fix in raised.value.fix


async def test_a_close_that_is_cancelled_while_it_waits_for_acks_still_closes_the_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, waits = asyncio.Event(), asyncio.Event()

    class Channel:
        async def close(self) -> None:
            closed.set()

    async def never(self: ConsumerChannel) -> None:
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ConsumerChannel, "_all_carried_out", never)
    monkeypatch.setattr(library, "INSIST", 0.01)
    closing = asyncio.ensure_future(ConsumerChannel(Channel(), None).close())
    await waits.wait()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert closed.is_set()
