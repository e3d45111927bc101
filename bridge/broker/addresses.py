"""Opens a connection to the first address that answers, of all host names of all URLs.

aiormq tries the addresses of one name in the resolver's order and has one time limit for all. An
address that drops packets would use it up, at every try.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from base64 import b64decode
from typing import Any, NamedTuple

import aio_pika
from yarl import URL

from bridge.broker import frames as frames  # patches aiormq
from bridge.broker.fast_path.tap import Tap, tapped
from bridge.broker.library import answer, translated
from bridge.broker.url import Urls, each, with_heartbeat
from bridge.errors import BrokerError, LoginRefused, NoVirtualHost

SINGLE_TIMEOUT = 10.0
"""Seconds until a connection must be open, if there is only one address."""
TIMEOUTS = (2.5, SINGLE_TIMEOUT)
"""Seconds for each of several addresses: short at first, and longer for those that were too slow if
no other one accepted the connection."""
RESOLVE_TIMEOUT = 3.0


class Target(NamedTuple):
    """One address of one URL."""

    url: str
    address: str | None = None
    """An address of the URL's host; None if the URL leaves no choice."""


async def open_any(urls: Urls, name: str) -> tuple[Any, str, Tap | None]:
    """Return a connection of aio_pika, listed as `name` by the broker, its URL, and its tap.

    There is no tap if the fast path is switched off.

    The order is random, so that the connections spread over the nodes of a cluster.

    Raises:
        BrokerUnavailable: no address accepted a connection in time.
        LoginRefused, NoVirtualHost: the broker refused it.
    """
    targets = await _targets(each(urls))
    errors: list[BrokerError] = []
    for timeout in TIMEOUTS if targets[1:] else TIMEOUTS[-1:]:
        slow = []
        for target in targets:
            try:
                connection, tap = await _open(target, name, timeout)
                return connection, target.url, tap
            except BrokerError as error:
                errors.append(error)
                if isinstance(error.__cause__, asyncio.TimeoutError):
                    slow.append(target)
        targets = slow
    raise next((e for e in errors if isinstance(e, (LoginRefused, NoVirtualHost))), errors[-1])


async def _targets(urls: tuple[str, ...]) -> list[Target]:
    """Return every address of every URL, in random order."""
    found = await asyncio.gather(*(_resolved(url) for url in urls))
    targets = [target for targets in found for target in targets]
    random.shuffle(targets)
    return targets


async def _resolved(url: str) -> list[Target]:
    """Return the addresses of a URL's host. If there are none, opening the URL will say why."""
    loop = asyncio.get_running_loop()
    try:
        parsed = URL(url)
        asked = loop.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
        found = await asyncio.wait_for(asked, RESOLVE_TIMEOUT)
    except (OSError, ValueError, asyncio.TimeoutError):
        return [Target(url)]
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return [Target(url, address) for address in addresses] if len(addresses) > 1 else [Target(url)]


async def _open(target: Target, name: str, timeout: float) -> tuple[Any, Tap | None]:
    with translated(target.url):
        opening = asyncio.ensure_future(_connect(target, name))
        try:
            return await answer(opening, timeout)
        except BaseException:
            # aiormq may swallow the cancellation, and the connection would stay open.
            opening.add_done_callback(_close_late)
            raise


async def _connect(target: Target, name: str) -> tuple[Any, Tap | None]:
    taps = tapped()
    url = URL(with_heartbeat(target.url)[0])
    context = None
    if target.address:
        if url.scheme == "amqps":
            context = await asyncio.get_running_loop().run_in_executor(None, _tls_context, url)
        url = url.with_host(target.address)
    connection = await aio_pika.connect(
        str(url), ssl_context=context, client_properties={"connection_name": name}
    )
    return connection, taps[0] if taps else None


def _tls_context(url: URL) -> ssl.SSLContext:
    """Return the context that aiormq would create, which verifies the URL's host name.

    The connection is opened to an address, and aiormq would verify that instead.
    """
    query = url.query
    cadata = query.get("cadata")
    context = ssl.create_default_context(
        ssl.Purpose.SERVER_AUTH,
        cafile=query.get("cafile"),
        capath=query.get("capath"),
        cadata=b64decode(cadata) if cadata else None,
    )
    if query.get("certfile"):
        context.load_cert_chain(query["certfile"], query.get("keyfile"))
    if query.get("no_verify_ssl", "0") != "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    wrap = context.wrap_bio

    def wrap_for_host(*args: Any, **kwargs: Any) -> ssl.SSLObject:
        return wrap(*args, **{**kwargs, "server_hostname": url.host})

    context.wrap_bio = wrap_for_host  # type: ignore[method-assign]
    return context


def _close_late(opening: asyncio.Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        task = asyncio.ensure_future(opening.result()[0].close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[Any]] = set()
"""Keeps the tasks from being collected before they end."""
