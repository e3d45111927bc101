"""What a client says: the data of its `user_uttered`. No I/O."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from bridge.errors import RequestRejected


class Said(msgspec.Struct):
    """`metadata` is what stands under the channel's `metadata_key`."""

    message: str
    session_id: str | None = None
    message_id: str | None = None
    metadata: dict[str, Any] | None = None


def said(data: Any, metadata_key: str) -> Said:
    """Return what an event says. Metadata: an object, or the JSON of one.

    Raises:
        RequestRejected: it has not the expected shape.
    """
    if not isinstance(data, dict):
        raise RequestRejected(400, "send an object with 'message'")
    try:
        heard = msgspec.convert({**data, "metadata": _object(data.get(metadata_key))}, Said)
    except msgspec.ValidationError as error:
        raise RequestRejected(400, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise RequestRejected(400, f"{metadata_key!r} is not JSON") from error
    if not heard.message.strip():
        raise RequestRejected(400, "'message' is missing: send the user's text as a string")
    return heard


def _object(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
