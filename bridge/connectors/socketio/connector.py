"""`socketio`: Rasa's Socket.IO channel; any webhook process may hold a client's socket.

Rasa's own channel: rasa/core/channels/socketio.py (3.6). What a client says, and what it is when it
is wrong, is in `socketio_events.py`; how a reply reaches its socket in `socketio_managers.py`.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms
from sanic import Blueprint, Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response
from sanic_routing.exceptions import RouteExists
from socketio import AsyncServer

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.socketio.incoming import Said, said
from bridge.connectors.socketio.outgoing import Emitter, Receiving, emission, split
from bridge.connectors.toolkit.error_responses import error_response
from bridge.errors import BridgeError, BrokerUnavailable, RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from bridge.telemetry import metrics

# Both log what is said from INFO down; the second one has a traceback for any garbage that comes.
server_log = logging.getLogger("bridge.connectors.socketio.server")
server_log.setLevel(logging.ERROR)
engine_log = logging.getLogger("bridge.connectors.socketio.engine")
engine_log.setLevel(logging.CRITICAL)

NO_REQUEST = Request("POST", "", {}, {}, b"")


class SocketIOConnector(Connector):
    name = "socketio"
    has_sockets = True
    verification = Verification("token", "jwt_key", "whoever knows the URL can connect")

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
    ) -> None:
        """The keys of Rasa's SocketIOInput."""
        if jwt_method not in {*get_default_algorithms()} - {"none"}:
            raise SettingsError("key 'jwt_method': a JWT algorithm such as HS256 or RS256")
        self._user_event = user_message_evt
        self._bot_event = bot_message_evt
        self._namespace = namespace or "/"
        self._persistent = session_persistence
        self._path = socketio_path
        self._jwt_key = jwt_key
        self._jwt_method = jwt_method
        self._metadata_key = metadata_key

    def verifies(self) -> bool:
        return bool(self._jwt_key)

    def served_at(self) -> str:
        return self._path

    def parse(self, request: Request) -> list[InboundMessage]:
        raise RequestRejected(404, "this channel takes messages from its sockets")

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return a blueprint that attaches the Socket.IO server to its app, as Rasa's does."""
        manager = Receiving(self.receiver)
        # With an empty list it leaves origins to whoever serves the page, as Rasa does.
        server = AsyncServer(
            async_mode="sanic",
            cors_allowed_origins=[],
            client_manager=manager,
            logger=server_log,
            engineio_logger=engine_log,
        )
        blueprint = _Attached(f"webhook_{self.channel}".replace("-", "_"))
        blueprint.ctx.attach = lambda app: self._attach(server, app)

        @blueprint.get("/", name="health")
        async def health(_: SanicRequest) -> HTTPResponse:
            return json_response({"status": "ok"})

        async def start(*_: Any) -> None:
            # Not at the first connection: events must not pile up on the broker until then.
            server.manager_initialized = True
            manager.initialize()

        async def stop(*_: Any) -> None:
            manager.stop()
            # The transports only: a client that is told of a disconnect does not connect again.
            for transport in list(server.eio.sockets.values()):
                # Not `eio.disconnect()`, which waits for clients that read no more.
                await transport.close(wait=False)
            await server.shutdown()

        blueprint.listener("before_server_start")(start)
        blueprint.listener("before_server_stop")(stop)
        self._listen(server, inbox)
        return blueprint

    def _attach(self, server: Any, app: Any) -> None:
        try:
            server.attach(app, self._path)
        except RouteExists as error:
            raise SettingsError(
                f"channel {self.channel}: key 'socketio_path': another channel has {self._path}"
            ) from error

    def _listen(self, server: Any, inbox: Inbox) -> None:
        async def tell(sid: str, event: str, data: Any) -> None:
            # The socket is here: no other process need hear of it.
            await server.emit(event, data, room=sid, namespace=self._namespace, ignore_queue=True)

        async def connect(sid: str, environ: Any, auth: Any = None) -> bool:
            if self._may_connect(auth):
                return True
            metrics.requests_rejected.labels(self.channel, 403).inc()
            return False

        async def session_request(sid: str, data: Any = None, *_: Any) -> None:
            given = data.get("session_id") if isinstance(data, dict) else None
            session = given if isinstance(given, str) and given else uuid.uuid4().hex
            if self._persistent:
                await server.enter_room(sid, session, namespace=self._namespace)
            await tell(sid, "session_confirm", session)

        async def heard(sid: str, data: Any = None, *_: Any) -> dict[str, Any] | None:
            """What is returned is the event's acknowledgement: nothing, as Rasa, or the error."""
            try:
                if not self.receiver.receives:
                    raise BrokerUnavailable("replies cannot reach this process yet")
                await inbox.enqueue(self._message(sid, said(data, self._metadata_key)))
            except BridgeError as error:
                response = error_response(error)
                metrics.requests_rejected.labels(self.channel, response.status).inc()
                answer = {"status": response.status, **json.loads(response.body or b"{}")}
                await tell(sid, f"{self._user_event}_error", answer)
                return answer
            return None

        for event, handler in (
            ("connect", connect),
            ("session_request", session_request),
            (self._user_event, heard),
        ):
            server.on(event, handler, namespace=self._namespace)

    def _may_connect(self, auth: Any) -> bool:
        if not self._jwt_key:
            return True
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            claims = jwt.decode(
                str(token).removeprefix("Bearer "), self._jwt_key, algorithms=[self._jwt_method]
            )
        except (jwt.PyJWTError, ValueError):
            return False
        # As Rasa: a token that says nothing is none.
        return bool(claims)

    def _message(self, sid: str, heard: Said) -> InboundMessage:
        if self._persistent and not heard.session_id:
            raise RequestRejected(400, "'session_id' is missing: ask for one by session_request")
        sender = heard.session_id if self._persistent and heard.session_id else sid
        return self.message(
            NO_REQUEST,
            # A client's own: unique in its conversation at best.
            id=f"{sender}:{heard.message_id}" if heard.message_id else None,
            sender_id=sender,
            text=heard.message,
            metadata=heard.metadata,
        )

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        arguments = {"namespace": self._namespace, **emission(reply)}
        await Emitter(self.sender, reply.id).emit(self._bot_event, **arguments)


class _Attached(Blueprint):
    """A blueprint with a route that is not below its own URL."""

    def register(self, app: Any, options: Any) -> None:
        self.ctx.attach(app)
        super().register(app, options)  # type: ignore[no-untyped-call]
