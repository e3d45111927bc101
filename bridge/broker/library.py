"""What comes out of aio_pika: its exceptions and its cancellations become the bridge's errors."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import pamqp.exceptions
from aio_pika import exceptions as amqp_errors
from aiormq import exceptions as aiormq_errors

from bridge.broker.url import safe_url, virtual_host
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    LoginRefused,
    NotDeclared,
    NoVirtualHost,
    PublishRefused,
    TopologyError,
    Unroutable,
)

T = TypeVar("T")
P = ParamSpec("P")

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the broker's answer to a close."""
INSIST = 1.0
"""Seconds to wait for it after a cancellation."""
REASON_TIMEOUT = 1.0
"""Seconds to wait for the reason after a channel has closed."""
AGAIN = 0.2
"""Seconds after which a task that ignores its cancellation is cancelled again."""

FOREIGN = (
    *amqp_errors.CONNECTION_EXCEPTIONS,
    asyncio.TimeoutError,
    asyncio.QueueFull,  # aiormq 6 ends a cancelled request with it, while the socket is full
)
"""Everything that aio_pika raises when a connection or channel fails."""
NOT_OPENED = (aiormq_errors.InvalidFrameError, pamqp.exceptions.AMQPInternalError)
"""aiormq 7 and 6: the broker closed the connection instead of opening the virtual host."""
WORDLESS: dict[type[BaseException], str] = {
    asyncio.TimeoutError: "no answer in time",
    asyncio.QueueFull: "the broker does not read from the socket",
    # For example from a load balancer without a backend.
    StopAsyncIteration: "the connection was closed before it was open",
}
"""Texts for errors that the libraries raise without one."""


async def answer(
    call: Awaitable[T],
    timeout: float | None = None,
    lost: asyncio.Future[BrokerError] | None = None,
) -> T:
    """Await a call of aio_pika in a task, so that only our own cancellation leaves it.

    When a connection dies, aiormq cancels the tasks that use it, or raises CancelledError in them.
    Awaited directly, that would look like a cancellation of our task, and end the role.

    Raises:
        BrokerUnavailable: the library cancelled the call, or `lost` completed first. On a silent
            connection, aiormq 7 waits for three heartbeats, and aiormq 6 for three minutes.
        asyncio.TimeoutError: no result within `timeout` seconds (None: no limit).
    """
    task = asyncio.ensure_future(call)
    ends: list[asyncio.Future[Any]] = [task] if lost is None else [task, lost]
    try:
        await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if lost is not None and lost.done():
            # If the broker refused the call, aiormq is about to say so.
            await asyncio.wait([task], timeout=REASON_TIMEOUT)
    finally:
        # Not awaited: aiormq may clean up for a long time.
        _end(task)
    if not task.done():
        if lost is not None and lost.done():
            raise BrokerUnavailable(f"connection lost: {lost.result()}")
        raise asyncio.TimeoutError
    if task.cancelled():
        raise BrokerUnavailable("the connection was lost before the broker answered")
    return task.result()


async def closed(call: Awaitable[object], timeout: float = CLOSE_TIMEOUT) -> None:
    """Await a close of aio_pika, at most `timeout` seconds, whatever it raises.

    A cancellation of our task waits for it, too, if only for `INSIST` seconds: a cancelled close
    would leave unsettled messages with us until the broker notices.
    """
    task = asyncio.ensure_future(call)
    deadline = time.monotonic() + timeout
    cancelled = None
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        try:
            await asyncio.wait([task], timeout=left)
        except asyncio.CancelledError as error:
            cancelled = error
            deadline = min(deadline, time.monotonic() + INSIST)
    _end(task)
    if cancelled:
        raise cancelled


def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it ends, because aio_pika and aiormq may swallow a cancellation."""
    if task.done():
        _retrieve(task)
        return
    task.add_done_callback(_retrieve)
    task.cancel()
    asyncio.get_running_loop().call_later(AGAIN, _cancel_again, task)


def _cancel_again(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(AGAIN, _cancel_again, task)


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


class _Losable(Protocol):
    """What belongs to one connection."""

    @property
    def lost_with(self) -> asyncio.Future[BrokerError] | None:
        """Completes when the connection is lost."""


S = TypeVar("S", bound=_Losable)


def guarded(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Make a method that uses aio_pika raise `BrokerError`s and nothing of the library's.

    It ends at the latest when the connection is lost.
    """

    @wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with translated():
            return await answer(method(self, *args, **kwargs), lost=self.lost_with)

    return call


@contextmanager
def translated(url: str = "") -> Iterator[None]:
    """Turn aio_pika's exceptions into the bridge's; pass `url` while a connection opens.

    A password never appears in a message.

    Raises:
        LoginRefused, NoVirtualHost: only while a connection opens.
        AccessRefused, NotDeclared, TopologyError: the broker closed the channel.
        PublishRefused, Unroutable: the broker refused a message.
        BrokerUnavailable: any other failure.
    """
    try:
        yield
    except BrokerError:
        raise
    except FOREIGN as error:
        raise translation(error, url) from error


def translation(error: BaseException, url: str = "") -> BrokerError:
    """Return the bridge's error for one of `FOREIGN`; see `translated`."""
    if isinstance(error, amqp_errors.PublishError):
        returned: Any = error.message
        key = returned.delivery.routing_key
        return Unroutable(f"no queue is bound for routing key {key!r}")
    if isinstance(error, amqp_errors.DeliveryError):
        return PublishRefused("the broker refused the message: its queue is full")
    if isinstance(error, aiormq_errors.ChannelAccessRefused):
        fix = "grant this permission to the broker user, or use another user"
        return AccessRefused(str(error), fix=fix)
    if isinstance(error, amqp_errors.ChannelNotFoundEntity):
        return NotDeclared(str(error))
    if isinstance(error, amqp_errors.ChannelClosed):
        return TopologyError(str(error))
    if isinstance(
        error, (amqp_errors.ProbableAuthenticationError, amqp_errors.AuthenticationError)
    ):
        fix = "fix the user and password in bridge.url"
        return LoginRefused(f"{safe_url(url)}: login refused", fix=fix)
    if url and isinstance(error, NOT_OPENED):
        return NoVirtualHost(
            f"{safe_url(url)}: this user cannot open the virtual host '{virtual_host(url)}'",
            fix="create it and set the user's permissions, or fix bridge.url (write / as %2F)",
        )
    reason = str(error) or WORDLESS.get(type(error)) or type(error).__name__
    return BrokerUnavailable(f"{safe_url(url)}: {reason}" if url else reason, fix=_tls_fix(error))


async def underlay(channel: Any) -> Any:
    """Return aiormq's channel behind one of aio_pika 8 to 10."""
    if hasattr(channel, "get_underlay_channel"):
        return await channel.get_underlay_channel()
    return channel.channel


@contextmanager
def not_found_is_temporary() -> Iterator[None]:
    """Use it where the queue was declared before: then RabbitMQ answers NOT_FOUND only while the
    queue's home node is down or its leader is being elected.

    Raises:
        BrokerUnavailable: so the link tries again.
    """
    try:
        yield
    except amqp_errors.ChannelNotFoundEntity as error:
        raise BrokerUnavailable(str(error)) from error


def _tls_fix(error: BaseException) -> str:
    """Return what to do about a failed TLS handshake; empty for any other error."""
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "name the CA that signed the broker's certificate: add ?cafile=… to bridge.url"
    if isinstance(cause, ssl.SSLError):
        return "use amqps:// with the TLS port (5671), and amqp:// with port 5672"
    return ""
