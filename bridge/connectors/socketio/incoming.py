"""A client's `user_uttered` event, parsed into a message."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from bridge.connectors.base import Connector, Request
from bridge.connectors.toolkit.ids import as_id
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

NO_REQUEST = Request("POST", "", {}, {}, b"")


def parse(
    connector: Connector, sid: str, data: Any, metadata_key: str, persistent: bool
) -> InboundMessage:
    """Return the message of an event's data.

    `sid` identifies the socket, and also the conversation unless the session is `persistent`.

    Raises:
        RequestRejected: 400, the data does not have the expected shape.
    """
    utterance = utterance_of(data, metadata_key)
    session, message_id = as_id(utterance.session_id), as_id(utterance.message_id)
    if persistent and not session:
        raise RequestRejected(400, "'session_id' is missing", fix="request one by session_request")
    sender = session if persistent else sid
    return connector.message(
        NO_REQUEST,
        # The client's own id is unique in its conversation at best.
        id=f"{sender}:{message_id}" if message_id else None,
        sender_id=sender,
        text=utterance.message,
        metadata=utterance.metadata,
    )


class Utterance(msgspec.Struct):
    """The data of an event; `metadata` is read from the channel's `metadata_key`."""

    message: str
    session_id: str | int | float | None = None
    message_id: str | int | float | None = None
    metadata: dict[str, Any] | None = None


def utterance_of(data: Any, metadata_key: str) -> Utterance:
    """Return the data of an event as a struct. Metadata is an object, or its JSON text.

    Raises:
        RequestRejected: 400, the data does not have the expected shape.
    """
    if not isinstance(data, dict):
        raise RequestRejected(400, "the data is not an object", fix="send an object with 'message'")
    try:
        fields = {**data, "metadata": _object(data.get(metadata_key))}
        utterance = msgspec.convert(fields, Utterance)
    except msgspec.ValidationError as error:
        raise RequestRejected(400, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise RequestRejected(400, f"{metadata_key!r} is not JSON") from error
    if not utterance.message.strip():
        raise RequestRejected(400, "'message' is missing", fix="send the user's text as a string")
    return utterance


def _object(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
