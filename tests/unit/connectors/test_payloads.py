"""What people and services send in 2025 and 2026, in the shapes of their documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.connectors.base import Connector
from bridge.connectors.botframework import BotFrameworkConnector
from bridge.connectors.facebook import FacebookConnector
from bridge.connectors.hangouts import HangoutsConnector
from bridge.connectors.mattermost import MattermostConnector
from bridge.connectors.rocketchat import RocketChatConnector
from bridge.connectors.slack import SlackConnector
from bridge.connectors.telegram import TelegramConnector
from bridge.connectors.twilio import TwilioConnector
from bridge.connectors.whatsapp import WhatsAppConnector
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage
from tests.integration.connectors.test_events import ignored, increase
from tests.support.fakes import a_request
from tests.unit.connectors.payload_shapes import NUMBER, teams, whatsapp
from tests.unit.connectors.payloads_ignored import IGNORED
from tests.unit.connectors.payloads_of_chats import CHATS
from tests.unit.connectors.payloads_of_others import OTHERS
from tests.unit.connectors.test_receipts import counted

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
TURNS = {**CHATS, **OTHERS}
CONNECTORS: dict[str, Callable[[], Connector]] = {
    "telegram": lambda: TelegramConnector("123456:ABC", "our_bot", "https://bot.example/t"),
    "slack": lambda: SlackConnector("xoxb-1", "secret"),
    "whatsapp": lambda: WhatsAppConnector("EAAW", NUMBER),
    "facebook": lambda: FacebookConnector("EAA"),
    "botframework": lambda: BotFrameworkConnector("app-1", "pw"),
    "hangouts": lambda: HangoutsConnector(sender_id="name"),
    "twilio": lambda: TwilioConnector("AC1", "token", "+15550100"),
    "mattermost": lambda: MattermostConnector(
        "https://mm.example", "token", webhook_url="https://bot.example/m"
    ),
    "rocketchat": lambda: RocketChatConnector("rasa", "pw", "https://chat.example"),
}


def received(channel: str, body: Any) -> list[InboundMessage]:
    connector = CONNECTORS[channel]()
    connector.channel = channel
    is_form = isinstance(body, str)
    request = a_request(body.encode(), FORM) if is_form else a_request(body, JSON)
    return connector.parse(request)


@pytest.mark.parametrize("name", TURNS)
def test_what_a_person_sends_becomes_a_turn(name: str) -> None:
    channel, body, text, metadata = TURNS[name]
    (message,) = received(channel, body)
    assert message.text == text
    assert metadata.items() <= (message.metadata or {}).items()


@pytest.mark.parametrize("name", IGNORED)
def test_what_says_nothing_is_counted_by_its_kind(name: str) -> None:
    channel, body, kind = IGNORED[name]
    before, receipts = ignored(channel), counted("receipts", channel)
    assert received(channel, body) == []
    assert increase(channel, before) == {kind: 1.0}
    assert counted("receipts", channel) == receipts


def test_a_code_that_is_a_text_is_no_reason_to_lose_its_failure() -> None:
    failed = {"id": "wamid.1", "status": "failed", "errors": [{"code": "131026", "title": "x"}]}
    before = counted("receipt_failures", "whatsapp").get("131026", 0)
    assert received("whatsapp", whatsapp(statuses=[failed])) == []
    assert counted("receipt_failures", "whatsapp")["131026"] == before + 1


def test_feedback_of_an_agent_is_an_invoke_that_is_not_supported() -> None:
    value = {"actionName": "feedback", "actionValue": {"reaction": "like"}}
    with pytest.raises(RequestRejected) as refused:
        received("botframework", teams(type="invoke", name="message/submitAction", value=value))
    assert refused.value.status == 501
