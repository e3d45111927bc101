"""The option `receipts` of a channel."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connectors.receipts import ReceiptOptions
from bridge.connectors.registry import load_channel
from bridge.errors import SettingsError

WHATSAPP = {"access_token": "EAAW", "phone_number_id": "1", "app_secret": "s", "verify": "v"}
FACEBOOK = {"verify": "v", "secret": "s", "page-access-token": "t"}
TWILIO = {"account_sid": "AC1", "auth_token": "t", "twilio_number": "+1"}


def options(given: Any, channel: str = "whatsapp", keys: Any = WHATSAPP) -> ReceiptOptions | None:
    return load_channel(channel, {**keys, "receipts": given}).receipts


@pytest.mark.parametrize("given", [None, False])
def test_receipts_are_only_counted_by_default(given: Any) -> None:
    channel = load_channel("whatsapp", {**WHATSAPP, "receipts": given})
    assert channel.receipts is None
    assert not channel.joins_receipts
    assert not load_channel("whatsapp", WHATSAPP).joins_receipts


@pytest.mark.parametrize(
    ("channel", "keys"), [("whatsapp", WHATSAPP), ("facebook", FACEBOOK), ("twilio", TWILIO)]
)
def test_channels_whose_service_reports_can_join(channel: str, keys: Any) -> None:
    assert options(True, channel, keys) == ReceiptOptions()
    assert load_channel(channel, {**keys, "bridge": {"receipts": True}}).joins_receipts


def test_every_key_is_read() -> None:
    template = {"name": "come_back"}
    given = {"failed": "/sorry", "read": "seen", "template": template, "keep": "2h"}
    expected = ReceiptOptions({"failed": "sorry", "read": "seen"}, template, 7200.0)
    assert options(given) == expected
    assert options({"template": {"content_sid": "HX1"}}, "twilio", TWILIO)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("yes", "'receipts'"),
        ({"fail": "/sorry"}, "did you mean 'failed'"),
        ({"failed": "two words"}, "'receipts.failed'"),
        ({"failed": '/sorry{"a": 1}'}, "'receipts.failed'"),
        ({"failed": 7}, "'receipts.failed'"),
        ({"template": "come_back"}, "'receipts.template'"),
        ({"keep": "soon"}, "'receipts.keep'"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_key(given: Any, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        options(given)


def test_a_service_without_receipts_or_templates_says_so() -> None:
    telegram = {"access_token": "1:a", "verify": "bot", "webhook_url": "https://x"}
    with pytest.raises(SettingsError, match="no receipts"):
        options(True, "telegram", telegram)
    with pytest.raises(SettingsError, match="no templates"):
        options({"template": {"name": "x"}}, "facebook", FACEBOOK)
