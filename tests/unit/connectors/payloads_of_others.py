"""What people send in other channels: channel, body, text, part of the metadata."""

from __future__ import annotations

from typing import Any

from tests.unit.connectors.payload_shapes import (
    added_on,
    chat,
    messenger,
    sms,
    teams,
    wa,
    whatsapp,
)

CART = {"products": [{"id": 123, "retailer_id": "r1", "quantity": 1}], "note": "gift wrap"}
QUOTE = {"type": "quotedReply", "quotedReply": {"messageId": "17720", "preview": "When?"}}
MESSAGE_OF_OTHERS = {
    "name": "spaces/A/messages/9",
    "text": "the server is down",
    "argumentText": "the server is down",
}
SLASH = {
    "name": "spaces/A/messages/2",
    "text": "/help",
    "argumentText": "",
    "slashCommand": {"commandId": "1"},
}

OTHERS: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    "username without a number": (
        "whatsapp",
        whatsapp(
            {"from_user_id": "US.1349", "id": "wamid.1", "type": "text", "text": {"body": "hi"}},
            contacts=[{"profile": {"name": "Ada", "username": "ada"}, "user_id": "US.1349"}],
        ),
        "hi",
        {"name": "Ada", "username": "ada"},
    ),
    "address message": (
        "whatsapp",
        wa(
            type="interactive",
            interactive={
                "type": "nfm_reply",
                "nfm_reply": {
                    "name": "address_message",
                    "response_json": '{"values":{}}',
                    "body": "x",
                },
            },
        ),
        '{"values":{}}',
        {"flow": "address_message"},
    ),
    "voice message": (
        "whatsapp",
        wa(
            type="audio",
            audio={"id": "7", "mime_type": "audio/ogg; codecs=opus", "sha256": "x", "voice": True},
        ),
        "7",
        {},
    ),
    "advertisement": (
        "whatsapp",
        wa(
            type="text",
            text={"body": "info"},
            referral={
                "source_type": "ad",
                "source_id": "1",
                "ctwa_clid": "A",
                "welcome_message": {"text": "Hi"},
            },
        ),
        "info",
        {
            "referral": {
                "source_type": "ad",
                "source_id": "1",
                "ctwa_clid": "A",
                "welcome_message": {"text": "Hi"},
            }
        },
    ),
    "cart": ("facebook", messenger(order=CART), "gift wrap", {"order": CART}),
    "reel": (
        "facebook",
        messenger(
            message={
                "mid": "m",
                "attachments": [
                    {
                        "type": "ig_reel",
                        "payload": {"reel_video_id": 1, "title": "t", "url": "https://r"},
                    }
                ],
            }
        ),
        "https://r",
        {"attachments": [{"type": "ig_reel", "url": "https://r"}]},
    ),
    "appointment": (
        "facebook",
        messenger(
            message={
                "mid": "m",
                "text": "at 9",
                "attachments": [{"type": "appointment_booking", "payload": {"appointment_id": 3}}],
            }
        ),
        "at 9",
        {},
    ),
    "reply to a story": (
        "facebook",
        messenger(
            message={
                "mid": "m",
                "text": "nice",
                "reply_to": {"story": {"url": "https://s", "id": "1"}},
            }
        ),
        "nice",
        {},
    ),
    "quoted in teams": (
        "botframework",
        teams(text='<quoted messageId="17720"/> at 9', entities=[QUOTE]),
        "at 9",
        {"quoted": [QUOTE["quotedReply"]]},
    ),
    "mention and quote": (
        "botframework",
        teams(
            text='<quoted messageId="17720"/><at>OurBot</at>&nbsp;at 9 &lt; 10',
            entities=[
                QUOTE,
                {
                    "type": "mention",
                    "text": "<at>OurBot</at>",
                    "mentioned": {"id": "28:app-1", "name": "OurBot"},
                },
            ],
        ),
        "at 9 < 10",
        {},
    ),
    "copilot": (
        "botframework",
        teams(
            text="hi",
            entities=[
                {"type": "ProductInfo", "id": "COPILOT"},
                {"type": "clientInfo", "locale": "en-US"},
            ],
        ),
        "hi",
        {},
    ),
    "file of teams": (
        "botframework",
        teams(
            text="",
            attachments=[
                {
                    "contentType": "application/vnd.microsoft.teams.file.download.info",
                    "contentUrl": "https://sp/x.pdf",
                    "name": "x.pdf",
                    "content": {"downloadUrl": "https://d", "uniqueId": "1", "fileType": "pdf"},
                }
            ],
        ),
        "https://sp/x.pdf",
        {},
    ),
    "slash command without an argument": ("hangouts", chat(message=SLASH), "/help", {}),
    "gif": (
        "hangouts",
        chat(
            message={
                "name": "spaces/A/messages/3",
                "text": "",
                "attachedGifs": [{"uri": "https://g/1.gif"}],
            }
        ),
        "https://g/1.gif",
        {},
    ),
    "message action": (
        "hangouts",
        added_on(
            "appCommandPayload",
            message=MESSAGE_OF_OTHERS,
            appCommandMetadata={"appCommandId": 4, "appCommandType": "MESSAGE_ACTION"},
        ),
        '/app_command{"id": "4"}',
        {"message": "spaces/A/messages/9"},
    ),
    "slash command of an add-on": (
        "hangouts",
        added_on(
            "appCommandPayload",
            message=SLASH,
            appCommandMetadata={"appCommandId": 1, "appCommandType": "SLASH_COMMAND"},
        ),
        "/help",
        {},
    ),
    "selection in a card": (
        "hangouts",
        chat(
            "CARD_CLICKED",
            common={
                "parameters": {},
                "invokedFunction": "pick",
                "formInputs": {"size": {"stringInputs": {"value": ["L"]}}},
            },
        ),
        "pick",
        {"form_inputs": {"size": {"stringInputs": {"value": ["L"]}}}},
    ),
    "rcs suggestion": (
        "twilio",
        sms(
            From="rcs:+15550199",
            To="rcs:brand_agent",
            Body="Yes",
            ButtonText="Yes",
            ButtonPayload="/affirm",
            ChannelPrefix="rcs",
            MessageType="button",
        ),
        "/affirm",
        {"title": "Yes"},
    ),
    "received, with its status": (
        "twilio",
        sms(MessageStatus="received", SmsStatus="received", Body="hi"),
        "hi",
        {},
    ),
    "vcard": (
        "twilio",
        sms(Body="", NumMedia="1", MediaUrl0="https://m/1", MediaContentType0="text/vcard"),
        "https://m/1",
        {},
    ),
    "word to stop": (
        "twilio",
        sms(Body="STOP", OptOutType="STOP"),
        "STOP",
        {"opt_out_type": "STOP"},
    ),
    "thread of rocket.chat": (
        "rocketchat",
        {
            "channel_id": "GENERAL",
            "message_id": "m1",
            "user_id": "u",
            "user_name": "ada",
            "text": "@rasa hi",
            "tmid": "m0",
            "bot": False,
        },
        "hi",
        {"tmid": "m0"},
    ),
}
