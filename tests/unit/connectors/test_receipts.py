"""What services report of sent messages: outcomes, codes and messages' ids."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client import REGISTRY

from bridge.connectors.base import Connector, Request
from bridge.connectors.facebook import FacebookConnector
from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.receipts import MOST_CODES, OTHER, Codes
from bridge.connectors.twilio import TwilioConnector
from bridge.connectors.twilio.outgoing import deliver
from bridge.connectors.whatsapp import WhatsAppConnector
from bridge.http.client import Response
from bridge.telemetry import logs
from tests.support.fakes import a_reply, a_request

NUMBER = "106540352242922"


def counted(name: str, channel: str) -> dict[str, float]:
    """Return the counts of a metric of a channel, by its other label."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {
        next(value for key, value in sample.labels.items() if key != "channel"): sample.value
        for sample in samples
        if sample.name == f"rasa_bridge_{name}_total" and sample.labels["channel"] == channel
    }


def named(connector: Connector, channel: str) -> Connector:
    connector.channel = channel
    return connector


def whatsapp(*statuses: Any) -> Request:
    value = {"metadata": {"phone_number_id": NUMBER}, "statuses": list(statuses)}
    change = {"field": "messages", "value": value}
    return a_request({"entry": [{"changes": [change]}]}, {"content-type": "application/json"})


def messenger(*events: Any) -> Request:
    return a_request({"entry": [{"messaging": list(events)}]}, {"content-type": "application/json"})


def twilio(**fields: str) -> Request:
    form = {"From": "+15550100", "To": "+15550101", "MessageSid": "SM1", **fields}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return a_request(urlencode(form).encode(), headers)


def test_every_status_of_whatsapp_has_an_outcome() -> None:
    connector = named(WhatsAppConnector("EAAW", NUMBER), "receipts-wa")
    statuses = ("sent", "delivered", "read", "played", "failed", "deleted", "a_new_one")
    request = whatsapp(*({"id": "wamid.1", "status": status} for status in statuses))
    assert connector.parse(request) == []
    assert counted("receipts", "receipts-wa") == {
        "sent": 1,
        "delivered": 1,
        "read": 2,
        "failed": 1,
    }
    assert counted("events_ignored", "receipts-wa") == {"status_deleted": 1, "unknown": 1}


def test_a_failure_is_counted_by_its_code_and_logged_with_the_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connector = named(WhatsAppConnector("EAAW", NUMBER), "receipts-wa-failed")
    errors = [{"code": 131047, "title": "Re-engagement message"}]
    connector.parse(whatsapp({"id": "wamid.out", "status": "failed", "errors": errors}))
    assert counted("receipt_failures", "receipts-wa-failed") == {"131047": 1}
    assert "wamid.out" in caplog.text
    assert "131047" in caplog.text


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "read"),
        ("failed", "failed"),
        ("undelivered", "failed"),
    ],
)
def test_every_final_status_of_twilio_has_an_outcome(status: str, outcome: str) -> None:
    channel = f"receipts-twilio-{status}"
    connector = named(TwilioConnector("AC1", "token", "+15550100"), channel)
    assert connector.parse(twilio(MessageStatus=status, ErrorCode="30003")) == []
    assert counted("receipts", channel) == {outcome: 1}
    failures = {"30003": 1.0} if outcome == "failed" else {}
    assert counted("receipt_failures", channel) == failures


def test_messenger_names_what_it_delivered_and_not_what_was_read() -> None:
    connector = named(FacebookConnector("verify", "secret", "token"), "receipts-fb")
    both = {"mids": ["m1", "m2"], "watermark": 1}
    connector.parse(
        messenger({"delivery": both}, {"delivery": {"watermark": 2}}, {"read": {"watermark": 2}})
    )
    assert counted("receipts", "receipts-fb") == {"delivered": 3, "read": 1}


@pytest.mark.parametrize("code", [None, "", "x", "1234567", "-1", "12\n", {"code": 1}])
def test_what_is_no_code_has_no_label(code: object) -> None:
    assert Codes().label("whatsapp", code) == OTHER


def test_the_number_of_labels_is_bounded_per_channel() -> None:
    codes = Codes()
    labels = {codes.label("whatsapp", code) for code in range(10 * MOST_CODES)}
    assert len(labels) == MOST_CODES + 1
    assert codes.label("whatsapp", 7) == "7"
    assert codes.label("twilio", 999) == "999"


def test_a_receipt_cannot_write_lines_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        receipts.count("receipts-log", "failed", "x\nCRITICAL forged" + "y" * 5000, "1")
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 300


@pytest.mark.parametrize(
    ("body", "path", "id"),
    [
        ({"messages": [{"id": "wamid.1"}]}, ("messages", 0, "id"), "wamid.1"),
        ({"message_id": "m1"}, ("message_id",), "m1"),
        ({"messages": []}, ("messages", 0, "id"), None),
        ({"messages": "x"}, ("messages", 0, "id"), None),
        ([], ("sid",), None),
    ],
)
def test_the_id_of_an_accepted_message_is_logged(
    body: Any, path: tuple[str | int, ...], id: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    receipts_log = logging.getLogger("bridge.connectors.toolkit.receipts")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logs.JsonLines("deliver"))
    receipts_log.addHandler(handler)
    before = receipts_log.level
    receipts_log.setLevel(logging.INFO)
    try:
        receipts.accepted(Response(200, {}, json.dumps(body).encode()), *path)
    finally:
        receipts_log.removeHandler(handler)
        receipts_log.setLevel(before)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["provider_id"] for line in lines] == ([id] if id else [])


class Http:
    """Records the form of a call."""

    def __init__(self) -> None:
        self.fields: Mapping[str, str] = {}

    async def post_form(self, url: str, fields: list[tuple[str, str]], **how: Any) -> Response:
        self.fields = dict(fields)
        return Response(201, {}, b'{"sid": "SM1"}')


@pytest.mark.parametrize(
    ("reply", "callback"),
    [
        ({"text": "hi"}, "https://bot.example/status"),
        (
            {"kind": "custom", "content": {"body": "hi", "status_callback": "https://own.example"}},
            "https://own.example",
        ),
    ],
)
async def test_twilio_is_told_where_to_report(reply: dict[str, Any], callback: str) -> None:
    http: Any = Http()
    where = "https://bot.example/status"
    await deliver(a_reply(**reply), http, "https://x", ("AC1", "t"), "+15550100", where)
    assert http.fields["StatusCallback"] == callback
