"""`whatsapp`: read receipts, the log of failed deliveries, and keys."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connectors.registry import load_channels
from bridge.errors import SettingsError
from tests.integration.connectors.runner import a_webhook
from tests.integration.connectors.tables import Post, as_bytes
from tests.integration.connectors.whatsapp_table import (
    FAILED,
    HELLO,
    NUMBER,
    PHONE,
    TABLE,
    TOKEN,
    WAMID,
    batch,
    message,
    of,
    post,
)
from tests.support.fakes import quiet
from tests.support.service import FakeService
from tests.support.waiting import eventually

KEYS = {"access_token": TOKEN, "phone_number_id": NUMBER}


async def test_a_user_sees_a_read_receipt_for_the_last_message(service: FakeService) -> None:
    async with a_webhook(TABLE, {"api_url": service.url}) as webhook:
        await webhook.post(post(of(message("wamid.1", **HELLO), message(**HELLO))))
        await eventually(lambda: bool(service.calls))
        await quiet()
    (call,) = service.calls
    assert call.path == f"/{NUMBER}/messages"
    assert call.body == {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": WAMID,
        "typing_indicator": {"type": "text"},
    }


async def test_a_delivery_that_fails_later_is_logged_without_the_user(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_webhook(TABLE) as webhook:
        await webhook.post(post(of(statuses=[FAILED])))
    assert "131047" in caplog.text
    assert PHONE not in caplog.text


async def test_a_message_to_another_number_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with a_webhook(TABLE) as webhook:
        await webhook.post(post(of(message(**HELLO), number="7")))
    assert "'phone_number_id'" in caplog.text


async def test_without_a_secret_every_batch_is_accepted() -> None:
    body = as_bytes(batch(of(message(**HELLO))))
    async with a_webhook(TABLE, {"app_secret": None}) as webhook:
        await webhook.post(Post(body, {"Content-Type": "application/json"}))
        assert len(webhook.messages) == 1


def test_a_start_warns_about_missing_keys() -> None:
    (channel,) = load_channels({"whatsapp": KEYS}).values()
    secret, verify = channel.connector.warnings()
    assert "'app_secret'" in secret
    assert "'verify'" in verify


@pytest.mark.parametrize(
    ("key", "value"),
    [("phone_number_id", "+1 555"), ("list_button", ""), ("list_button", "x" * 21)],
)
def test_an_invalid_key_is_refused(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"'{key}'"):
        load_channels({"whatsapp": {**KEYS, key: value}})
