"""`socketio`: Rasa's Socket.IO channel. Any webhook process may hold a client's socket.

Rasa's own channel: rasa/core/channels/socketio.py (3.6).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sanic import Blueprint, Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.socketio.away import Absences
from bridge.connectors.socketio.events import Events, Options
from bridge.connectors.socketio.kinds import KINDS
from bridge.connectors.socketio.outgoing import ReceivingManager, deliver, split
from bridge.connectors.socketio.server import TextServer
from bridge.connectors.toolkit.signed_tokens import SignedTokens
from bridge.errors import RecipientAway, RequestRejected
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from bridge.telemetry import metrics

log = logging.getLogger(__name__)


class SocketIOConnector(Connector):
    name = "socketio"
    file_keys = frozenset()  # its clients choose the metadata
    kinds = KINDS
    only_webhook = frozenset({"jwt_key"})
    has_sockets = True
    verification = Verification("token", "jwt_key", "anyone who knows the URL can connect")

    def __init__(
        self,
        user_message_evt: str = "user_uttered",
        bot_message_evt: str = "bot_uttered",
        namespace: str | None = None,
        session_persistence: bool = False,
        socketio_path: str = "/socket.io",
        jwt_key: str | None = None,
        jwt_method: str = "HS256",
        metadata_key: str = "metadata",
        max_clients: int = 2000,
        enable_silence_timeout: bool = False,
        keep_replies: float = 60.0,
    ) -> None:
        """The keys of Rasa's SocketIOInput (3.6 and rasa-pro), and two more.

        rasa-pro watches for silence in calls only if its own server holds the socket, so
        `enable_silence_timeout` has no effect here.
        One process serves at most `max_clients`, each of which takes about 40 KB. A reply waits
        `keep_replies` seconds for a client that is away, if it can return; 0: it is lost, as in
        Rasa.
        """
        self.awaits_clients = keep_replies > 0
        # Without a session, a client that connects again is another conversation.
        self._absences = Absences(keep_replies if session_persistence else 0.0)
        self._max_clients = max_clients
        self._watches_silence = enable_silence_timeout
        tokens = SignedTokens(jwt_key or "", jwt_method)
        self._tokens = tokens if jwt_key else None
        self._namespace = namespace or "/"
        self._bot_event = bot_message_evt
        self._path = socketio_path
        self._options = Options(
            user_message_evt, self._namespace, session_persistence, metadata_key, self._claims
        )

    def warnings(self) -> list[str]:
        silent = ["key 'enable_silence_timeout' has no effect behind the bridge"]
        return [*super().warnings(), *(silent if self._watches_silence else [])]

    def users_choose_ids(self) -> bool:
        return self._options.persistent  # whatever the token says

    def verifies(self) -> bool:
        return self._tokens is not None

    def served_at(self) -> str:
        return self._path

    def parse(self, request: Request) -> list[InboundMessage]:
        raise RequestRejected(404, "this channel receives messages through its sockets")

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return a blueprint that attaches the Socket.IO server to its app, as in Rasa."""
        manager = ReceivingManager(self.receiver)
        server = TextServer(self.channel, self._namespace, manager, self._max_clients)
        blueprint = _Attached(f"webhook_{self.channel}".replace("-", "_"))
        blueprint.ctx.attach = lambda app: server.attach(app, self._path)

        @blueprint.get("/", name="health")
        async def health(_: SanicRequest) -> HTTPResponse:
            return json_response({"status": "ok"})

        async def start(*_: Any) -> None:
            server.start()

        async def stop(*_: Any) -> None:
            await server.stop()

        blueprint.listener("before_server_start")(start)
        blueprint.listener("before_server_stop")(stop)
        Events(self, server, inbox, self._options)
        return blueprint

    def _claims(self, auth: Any) -> dict[str, Any] | None:
        if self._tokens is None:
            return {}
        token = auth.get("token") if isinstance(auth, dict) else None
        # As in Rasa, a token without claims is refused.
        return self._tokens.claims(str(token)) or None

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        sent = await deliver(
            reply, self.sender, self._bot_event, self._namespace, self.awaits_clients
        )
        client = reply.recipient_id
        if sent:
            self._absences.is_back(client)
            return
        delay = self._absences.next_attempt(client)
        if delay is not None:
            raise RecipientAway(delay)
        metrics.replies_missed.labels(self.channel).inc()
        log.warning("reply dropped: its client is away")


class _Attached(Blueprint):
    """A blueprint with a route outside its URL prefix."""

    def register(self, app: Any, options: Any) -> None:
        self.ctx.attach(app)
        super().register(app, options)  # type: ignore[no-untyped-call]
