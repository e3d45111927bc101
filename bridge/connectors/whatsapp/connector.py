"""`whatsapp`: the Cloud API's webhook in, its messages out. Rasa has no such channel.

The API: https://developers.facebook.com/documentation/business-messaging/whatsapp. The keys are in
the style of Rasa's `facebook`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from sanic import Request as SanicRequest
from sanic.response import HTTPResponse

from bridge.connectors.base import Inbox, Request, Verification
from bridge.connectors.meta.graph import GRAPH, proof_of, raise_for_graph
from bridge.connectors.meta.webhook import MetaConnector, expect_json
from bridge.connectors.whatsapp.incoming import Batch, of_batch
from bridge.connectors.whatsapp.outgoing import TITLE, message_of, split
from bridge.errors import SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply

LATER = frozenset({130429, 131000, 131016, 131048, 131056, 133004})
"""Codes that pass by themselves: rate limits of the number or the recipient, overload."""
CLOSED: frozenset[int | tuple[int, int]] = frozenset(
    {33, (100, 33), 131005, 131031, 131042, 131045, 131057, 133010}
)
"""Codes that every call meets: the number is unknown, not registered, locked, unpaid, …"""


class WhatsAppConnector(MetaConnector):
    name = "whatsapp"
    verification = Verification("signature", "app_secret")

    def __init__(
        self,
        access_token: str,
        phone_number_id: str,
        app_secret: str = "",
        verify: str = "",
        list_button: str = "Options",
        api_url: str = GRAPH,
    ) -> None:
        """`list_button`: what opens a list of more than three buttons, up to 20 characters.

        Raises:
            SettingsError: a key is not what Meta gives or takes.
        """
        if not re.fullmatch(r"\d+", phone_number_id.strip()):
            raise SettingsError("key 'phone_number_id': digits, as API Setup shows; not the number")
        if not 1 <= len(list_button.strip()) <= TITLE:
            raise SettingsError(f"key 'list_button': 1 to {TITLE} characters")
        super().__init__(app_secret, verify)
        self._number = phone_number_id.strip()
        self._list_button = list_button.strip()
        self._url = f"{api_url.rstrip('/')}/{self._number}/messages"
        self._params = proof_of(access_token.strip(), self._secret)
        self._headers = {"Authorization": f"Bearer {access_token.strip()}"}

    def parse(self, request: Request) -> list[InboundMessage]:
        expect_json(request)
        return [
            self.message(
                request,
                id=said.id,
                sender_id=said.user,
                text=said.text,
                metadata=said.metadata,
                route={"to": said.phone} if said.phone else {},
            )
            for said in of_batch(request.decode(Batch), self._number)
        ]

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        last = {}
        for message in self.parse(incoming):
            await inbox.enqueue(message)
            last[message.sender_id] = message.id
        for id in last.values():
            self._shown.show(self.channel, partial(self._read_and_typing, id=id))
        return self.acknowledge(incoming)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await self._call(
            http,
            {
                "recipient_type": "individual",
                **address(reply.route.get("to") or reply.recipient_id),
                **message_of(reply, self._list_button),
            },
        )

    async def _read_and_typing(self, http: HttpClient, id: str) -> None:
        await self._call(
            http, {"status": "read", "message_id": id, "typing_indicator": {"type": "text"}}
        )

    async def _call(self, http: HttpClient, body: dict[str, Any]) -> None:
        check = partial(
            raise_for_graph,
            service="WhatsApp",
            token_key="access_token",  # noqa: S106
            secret_key="app_secret",  # noqa: S106
            later=LATER,
            closed=CLOSED,
        )
        await http.post_json(
            self._url,
            {"messaging_product": "whatsapp", **body},
            headers=self._headers,
            params=self._params,
            check=check,
        )


def address(user: str) -> dict[str, str]:
    """Return the field for a phone number, or for a user whose number is not known."""
    return {"to" if re.fullmatch(r"\+?[\d ()-]+", user) else "recipient": user}
