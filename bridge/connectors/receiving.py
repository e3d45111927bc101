"""What happens to a request of a service, until it is answered."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from bridge.connectors.interfaces import Inbox
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.toolkit.request import plain_request
from bridge.errors import BridgeError
from bridge.telemetry import logs

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse

    from bridge.connectors.base import Connector


def receiver(
    connector: Connector, inbox: Inbox, *, prepares: bool, receives: bool
) -> Callable[[SanicRequest], Coroutine[Any, Any, HTTPResponse | None]]:
    """Return the handler of the requests with messages.

    `prepares` and `receives` tell whether the connector overrides the methods of these names: most
    do not, and each coroutine takes time.
    """

    async def receive(request: SanicRequest) -> HTTPResponse | None:
        with logs.bound({"channel": connector.channel}):
            try:
                incoming = plain_request(request)
                if prepares:
                    await connector.prepare(incoming)
                connector.verify(incoming)
                response = connector.handshake(incoming)
                if response is not None:
                    return response
                if receives or connector.receipts is not None:
                    return await connector.reporting(connector.receive(request, incoming, inbox))
                for message in connector.parse(incoming):  # as `Connector.receive` does
                    await inbox.enqueue(message)
                return connector.acknowledge(incoming)
            except BridgeError as error:
                return error_response(error)

    return receive
