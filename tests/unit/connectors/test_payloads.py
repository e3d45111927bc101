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
from bridge.connectors.telegram.outgoing import call_of
from bridge.connectors.twilio import TwilioConnector
from bridge.connectors.twilio_voice import TwilioVoiceConnector
from bridge.connectors.whatsapp import WhatsAppConnector
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage
from tests.integration.connectors.test_events import ignored, increase
from tests.support.fakes import a_reply, a_request
from tests.unit.connectors.payload_shapes import ADA, CLUB, NUMBER, teams, telegram, whatsapp
from tests.unit.connectors.payloads_ignored import IGNORED as SILENT
from tests.unit.connectors.payloads_of_2026 import IGNORED_2026, TURNS_2026
from tests.unit.connectors.payloads_of_chats import CHATS
from tests.unit.connectors.payloads_of_others import OTHERS
from tests.unit.connectors.test_receipts import counted

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
TURNS = {**CHATS, **OTHERS, **TURNS_2026}
IGNORED = {**SILENT, **IGNORED_2026}
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
    "twilio_voice": lambda: TwilioVoiceConnector(),
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


def test_ephemeral_messages_are_told_apart_and_answered_where_only_their_sender_sees_it() -> None:
    said = {"message_id": 0, "ephemeral_message_id": 3, "text": "/help"}
    first, second = ({**telegram(**said), "update_id": number} for number in (8, 9))
    (one,), (again,), (other,) = (received("telegram", body) for body in (first, first, second))
    assert one.id == again.id != other.id
    assert one.route == {
        "ephemeral_message_parameters": {"receiver_user_id": ADA["id"]},
        "reply_parameters": {"ephemeral_message_id": 3},
    }
    reply = a_reply(channel="telegram", recipient_id=one.sender_id, text="Help", route=one.route)
    method, body = call_of(reply)
    assert method == "sendMessage"
    assert body == {"chat_id": str(CLUB["id"]), "text": "Help", **one.route}


def test_a_button_of_an_ephemeral_message_is_answered_to_its_user() -> None:
    message = telegram(message_id=0, ephemeral_message_id=3, **{"from": {"id": 1}})["message"]
    query = {"id": "q", "from": ADA, "data": "/yes", "message": message}
    (pressed_button,) = received("telegram", {"update_id": 8, "callback_query": query})
    receiver = {"receiver_user_id": ADA["id"], "callback_query_id": "q"}
    assert pressed_button.route == {"ephemeral_message_parameters": receiver}


def test_a_failure_of_a_messaging_service_without_a_sender_is_a_receipt() -> None:
    before = counted("receipt_failures", "twilio").get("21703", 0)
    body = "MessageSid=SM1&MessageStatus=failed&ErrorCode=21703&MessagingServiceSid=MG1"
    assert received("twilio", body) == []
    assert counted("receipt_failures", "twilio")["21703"] == before + 1


def test_a_rich_message_that_is_too_deep_is_cut() -> None:
    block: object = {"type": "paragraph", "text": "deep"}
    for _ in range(200):
        block = {"type": "details", "summary": "", "blocks": [block]}
    rich = {"blocks": [{"type": "paragraph", "text": "top"}, block]}
    (message,) = received("telegram", telegram(rich_message=rich))
    assert message.text == "top"
