"""The HTTP response for each of the bridge's errors."""

from __future__ import annotations

import json

import pytest

from bridge.connectors.toolkit.error_responses import error_response
from bridge.errors import (
    BridgeError,
    BrokerUnavailable,
    MessageError,
    PublishRefused,
    RequestRejected,
    SettingsError,
    TopologyError,
    TurnFailed,
    Unroutable,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestRejected(400, "why"), 400),
        (RequestRejected(401, "why"), 401),
        (RequestRejected(413, "why"), 413),
        (TurnFailed(500, "why"), 500),
        (TurnFailed(504, "why"), 504),
        (MessageError("why"), 400),
        (BrokerUnavailable("why"), 503),
        (PublishRefused("why"), 503),
        (Unroutable("why"), 503),
        (TopologyError("why"), 503),
        (SettingsError("why"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BridgeError) else str(value),
)
def test_every_error_has_a_status_and_a_reason(
    error: BridgeError, status: int, console: pytest.LogCaptureFixture
) -> None:
    answer = error_response(error)
    assert answer.status == status
    body = json.loads(answer.body or b"")
    assert list(body) == ["error"]
    # What the sender cannot change is in the log only.
    told = isinstance(error, (RequestRejected, TurnFailed, MessageError))
    assert ("why" in body["error"]) == told
    assert "why" in console.text or isinstance(error, MessageError)
    assert ("Retry-After" in answer.headers) == (status == 503)
