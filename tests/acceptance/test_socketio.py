"""`socketio`: runs the cases of tests/integration/connectors against Rasa's own channel.

Requires rasa, but neither a broker nor a model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import groupby
from typing import Any

import pytest
import socketio
from rasa.core.channels.socketio import SocketIOInput
from sanic import Sanic

from bridge.connectors.wrapped.outgoing import send_through
from tests.integration.connectors.runner import serving
from tests.integration.connectors.socketio_cases import (
    BREAKS,
    KEY,
    MAY_CONNECT,
    MAY_NOT,
    REPLIES,
    SAID,
    SAME,
    SILENT,
    TURN,
    Utterance,
)
from tests.support.fakes import a_reply
from tests.support.sockets import Client, client
from tests.support.waiting import eventually

pytestmark = [
    # Warnings of Rasa's libraries, and of Rasa where it ignores a message.
    pytest.mark.filterwarnings("ignore"),
]
DONE = "that was all"


class Theirs:
    """A server with Rasa's channel, and the `messages` that it received."""

    def __init__(self) -> None:
        self.url = ""
        self.messages: list[Any] = []

    async def on_new_message(self, message: Any) -> None:
        self.messages.append(message)


@asynccontextmanager
async def rasas(**settings: Any) -> AsyncIterator[Theirs]:
    theirs = Theirs()
    app: Sanic[Any, Any] = Sanic("rasa", configure_logging=False)
    blueprint = SocketIOInput.from_credentials(settings).blueprint(theirs.on_new_message)
    app.blueprint(blueprint, url_prefix="/webhooks/socketio")
    async with serving(app) as theirs.url:
        yield theirs


@pytest.fixture(autouse=True)
def _sanic_may_have_two_apps() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


async def test_a_clients_event_becomes_the_same_message_in_rasa() -> None:
    for settings, cases in groupby(SAID, lambda case: case.settings):
        async with rasas(**settings) as theirs, client(theirs.url) as it:
            for case in cases:
                assert await what_rasa_does(case, theirs, it) == case.rasa, case


async def what_rasa_does(case: Utterance, theirs: Theirs, it: Client) -> str:
    theirs.messages.clear()
    acknowledged: list[Any] = []
    await it.io.emit("user_uttered", case.data, callback=lambda *_: acknowledged.append(1))
    await it.ask("user_uttered", {"message": DONE, "session_id": "s"})
    *heard, last = theirs.messages
    assert last.text == DONE
    if heard:
        said = [(m.text, m.metadata or None, m.sender_id) for m in heard]
        return SAME if said == [(case.text, case.metadata, it.sid)] else TURN
    return SILENT if acknowledged else BREAKS


async def test_a_reply_becomes_the_same_events_in_rasa() -> None:
    async with rasas() as theirs, client(theirs.url) as it:
        assert await it.ask("user_uttered", {"message": "hello"}) is None
        (message,) = theirs.messages
        output = message.output_channel
        for case in REPLIES:
            emits: list[Any] | None = []
            try:
                # Rasa's channel modifies its arguments.
                reply = a_reply(recipient_id=it.sid, **deepcopy(dict(case.reply)))
                await send_through(output, reply)
            except Exception:
                emits = None
            await output.send_text_message(it.sid, DONE)
            await eventually(lambda: ("bot_uttered", {"text": DONE}) in it.heard)
            if emits is not None:
                emits = [data for _, data in it.heard[:-1]]
            it.heard.clear()
            same = emits == (None if case.emits is None else list(case.emits))
            assert same != bool(case.differs), (case, emits)


@pytest.mark.parametrize("asked", [(None,), {}, {"session_id": None}, {"session_id": "s"}])
async def test_a_session_is_confirmed_as_in_rasa(asked: Any) -> None:
    async with rasas() as theirs, client(theirs.url) as it:
        await it.emit("session_request", asked)
        await eventually(lambda: it.heard)
        ((event, session),) = it.heard
        assert event == "session_confirm"
        assert session == "s" if asked == {"session_id": "s"} else len(session) == 32


async def test_the_same_tokens_can_connect_to_rasa() -> None:
    async with rasas(jwt_key=KEY) as theirs:
        for auth in MAY_CONNECT:
            async with client(theirs.url, auth=auth) as it:
                assert it.sid
        for auth in MAY_NOT:
            with pytest.raises(socketio.exceptions.ConnectionError):
                await Client().connect(theirs.url, auth=auth)


async def test_rasas_replies_to_a_session_or_in_a_namespace_do_not_arrive() -> None:
    """The bridge's do, see tests/integration/connectors/test_socketio.py."""
    async with rasas(session_persistence=True) as theirs, client(theirs.url) as it:
        await it.emit("session_request", {"session_id": "s"})
        await it.hears(("session_confirm", "s"))
        await it.ask("user_uttered", {"message": "hello", "session_id": "s"})
        (message,) = theirs.messages
        await message.output_channel.send_text_message("s", "to the session")
        await message.output_channel.send_text_message(it.sid, "to the socket")
        await it.hears(("bot_uttered", {"text": "to the socket"}))
    async with rasas(namespace="/chat") as theirs, client(theirs.url, "/chat") as it:
        await it.emit("session_request", {"session_id": "s"})
        await it.ask("user_uttered", {"message": "hello"})
        (message,) = theirs.messages
        await message.output_channel.send_text_message(it.sid, "hi")
        await it.ask("user_uttered", {"message": "hello"})
        assert not it.heard
