"""`whatsapp`: the Cloud API's webhook in, its messages out. Rasa does not have this channel.

The API: https://developers.facebook.com/documentation/business-messaging/whatsapp. The keys follow
those of Rasa's `facebook`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from bridge.connectors.base import Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.limits import RateLimit
from bridge.connectors.meta.graph import GRAPH, proof_of
from bridge.connectors.meta.webhook import MetaConnector
from bridge.connectors.whatsapp.incoming import parse
from bridge.connectors.whatsapp.kinds import KINDS
from bridge.connectors.whatsapp.outgoing import PAIR, TITLE, deliver, show_read_and_typing, split
from bridge.errors import SettingsError
from bridge.http.client import HttpClient
from bridge.http.direct import direct
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse


class WhatsAppConnector(MetaConnector):
    name = "whatsapp"
    kinds = KINDS
    closed_window = frozenset({"131047"})
    only_webhook = frozenset({"verify"})
    only_deliver = frozenset({"access_token"})
    verification = Verification("signature", "app_secret")

    def __init__(
        self,
        access_token: str,
        phone_number_id: str,
        app_secret: str = "",
        verify: str = "",
        list_button: str = "Options",
        api_url: HttpUrl = GRAPH,
    ) -> None:
        """`list_button` is the label that opens a list of more than three buttons, 1 to 20
        characters. `app_secret` and `verify` are `secret` and `verify` of the channel `facebook`.

        Raises:
            SettingsError: `phone_number_id` or `list_button` is not valid.
        """
        if not re.fullmatch(r"\d+", phone_number_id.strip()):
            raise SettingsError(
                "key 'phone_number_id' must be digits",
                fix="copy the id, not the number, from the page API Setup",
            )
        if not 1 <= len(list_button.strip()) <= TITLE:
            raise SettingsError(f"key 'list_button' must have 1 to {TITLE} characters")
        super().__init__(app_secret, verify)
        self._number = phone_number_id.strip()
        self._list_button = list_button.strip()
        self._url = f"{api_url.rstrip('/')}/{self._number}/messages"
        self._params = proof_of(access_token.strip(), self._secret)
        self._headers = {"Authorization": f"Bearer {access_token.strip()}"}

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._number)

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        last = {}
        for message in self.parse(incoming):
            await inbox.enqueue(message)
            last[message.sender_id] = message.id
        for id in last.values():
            show = partial(
                show_read_and_typing,
                url=self._url,
                headers=self._headers,
                params=self._params,
                id=id,
            )
            self._indicators.show(self.channel, show)
        return self.acknowledge(incoming)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    def template(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "template", "template": dict(content)}

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        return (PAIR,)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._url, self._headers, self._params, self._list_button)
