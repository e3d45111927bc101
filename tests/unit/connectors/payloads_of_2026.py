"""What came in 2026, or was found in the services' references then; as `payloads_of_…`."""

from __future__ import annotations

from typing import Any

from tests.unit.connectors.payload_shapes import (
    ADA,
    call,
    messenger,
    pressed,
    room,
    slack,
    sms,
    teams,
    telegram,
    wa,
    whatsapp,
)

RICH = {
    "blocks": [
        {"type": "heading", "size": 1, "text": "Order"},
        {
            "type": "paragraph",
            "text": [
                "two ",
                {"type": "bold", "text": ["large"]},
                " ",
                {"type": "custom_emoji", "alternative_text": "🍕"},
            ],
        },
        {
            "type": "list",
            "items": [
                {"label": "•", "blocks": [{"type": "paragraph", "text": "no onions"}]},
                {"label": "•", "blocks": [{"type": "paragraph", "text": "soon"}]},
            ],
        },
        {"type": "table", "cells": [[{"text": "a"}, {"text": {"type": "code", "text": "b"}}]]},
        {"type": "divider"},
    ]
}
LIVE = {"file_id": "live", "file_unique_id": "l", "width": 1, "height": 1, "duration": 3}
PROFILE = {"id": "U7", "name": "ada", "profile": {"real_name": "Ada"}}
STICKER = {"type": "image", "payload": {"url": "https://x.org/like.png", "sticker_id": 36}}
STORY = {"id": "17", "url": "https://x.org/story"}
SENT = {"id": "wamid.9", "status": "delivered", "timestamp": "1767000000"}
TURNS_2026: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    # name → channel, body, text, part of the metadata
    "rich message": (
        "telegram",
        telegram(rich_message=RICH),
        "Order\ntwo large 🍕\nno onions\nsoon\na\nb",
        {"message_id": 7},
    ),
    "live photo": (
        "telegram",
        telegram(photo=[{"file_id": "small"}, {"file_id": "large"}], live_photo=LIVE),
        "large",
        {"photo": "large", "live_photo": "live"},
    ),
    "live photo alone": ("telegram", telegram(live_photo=LIVE), "live", {"live_photo": "live"}),
    "home of an app in slack": (
        "slack",
        slack(text="hi", channel_type="app_home"),
        "hi",
        {"out_channel": "D1"},
    ),
    "file of a shared channel": (
        "slack",
        slack(subtype="file_share", files=[{"id": "F1", "file_access": "check_file_info"}]),
        "F1",
        {"files": [{"id": "F1"}]},
    ),
    "feedback buttons": (
        "slack",
        pressed({"type": "feedback_buttons", "action_id": "a", "value": "good"}),
        "good",
        {},
    ),
    "voice note": (
        "whatsapp",
        wa(type="audio", audio={"id": "A1", "mime_type": "audio/ogg", "voice": True}),
        "A1",
        {"media": {"type": "audio", "id": "A1", "mime_type": "audio/ogg", "voice": True}},
    ),
    "row of a list": (
        "whatsapp",
        wa(
            type="interactive",
            interactive={
                "type": "list_reply",
                "list_reply": {"id": "/express", "title": "Express", "description": "Next day"},
            },
        ),
        "/express",
        {"title": "Express", "description": "Next day"},
    ),
    "place with a page": (
        "whatsapp",
        wa(type="location", location={"latitude": 1, "longitude": 2, "url": "https://x.org"}),
        '{"lng":2, "lat":1}',
        {"url": "https://x.org"},
    ),
    "shared phone number": (
        "whatsapp",
        whatsapp(
            {
                "id": "wamid.1",
                "from_user_id": "US.13491208655302741918",
                "type": "contacts",
                "contacts": [{"origin": "contact_request", "phones": [{"phone": "+16505551234"}]}],
            }
        ),
        "+16505551234",
        {"contacts": [{"origin": "contact_request", "phones": [{"phone": "+16505551234"}]}]},
    ),
    "thumb of messenger": (
        "facebook",
        messenger(message={"mid": "m", "attachments": [STICKER]}),
        "https://x.org/like.png",
        {"attachments": [{"type": "image", "url": "https://x.org/like.png", "sticker_id": 36}]},
    ),
    "title of a quick reply": (
        "facebook",
        messenger(message={"mid": "m", "text": "Yes", "quick_reply": {"payload": "/affirm"}}),
        "/affirm",
        {"title": "Yes"},
    ),
    "reply to a story": (
        "facebook",
        messenger(message={"mid": "m", "text": "nice", "reply_to": {"story": STORY}}),
        "nice",
        {"story": STORY},
    ),
    "mention in a story": (
        "facebook",
        messenger(
            message={
                "mid": "m",
                "attachments": [{"type": "story_mention", "payload": {"url": "https://x.org/s"}}],
            }
        ),
        "https://x.org/s",
        {"attachments": [{"type": "story_mention", "url": "https://x.org/s"}]},
    ),
    "metadata of a channel": (
        "twilio",
        sms(Body="hi", ChannelMetadata='{"type": "rcs"}'),
        "hi",
        {"channel_metadata": '{"type": "rcs"}'},
    ),
    "reply in teams": (
        "botframework",
        teams(text="yes", replyToId="1767000000"),
        "yes",
        {"reply_to": "1767000000"},
    ),
    "bot between two words in telegram": (
        "telegram",
        telegram(text="hey @our_bot how are you"),
        "hey how are you",
        {},
    ),
    "bot between two words in rocket.chat": (
        "rocketchat",
        room(text="hey @rasa, how are you"),
        "hey how are you",
        {},
    ),
    "quoted messages in rocket.chat": (
        "rocketchat",
        room(text="[ ](https://chat.example/r?msg=a) [ ](https://chat.example/r?msg=b) @rasa yes"),
        "yes",
        {"quotes": ["https://chat.example/r?msg=a", "https://chat.example/r?msg=b"]},
    ),
    "link with a label in rocket.chat": (
        "rocketchat",
        room(text="[here](https://x.org)"),
        "[here](https://x.org)",
        {},
    ),
    "file by its name in rocket.chat": (
        "rocketchat",
        room(text="", message={"files": [{"_id": "f", "name": "a.png"}]}),
        "a.png",
        {"file": "a.png"},
    ),
    "colleague in teams": (
        "botframework",
        teams(
            text="<at>OurBot</at> ask <at>Bob Lee</at>",
            entities=[
                {
                    "type": "mention",
                    "mentioned": {"id": id, "name": name},
                    "text": f"<at>{name}</at>",
                }
                for id, name in (("28:app-1", "OurBot"), ("29:b", "Bob Lee"))
            ],
        ),
        "ask Bob Lee",
        {},
    ),
    "caller": ("twilio_voice", call(CallStatus="ringing"), "hello", {"call_sid": "CA1"}),
    "submitted card with an empty value": (
        "botframework",
        teams(value="", attachments=[{"contentType": "image/png", "contentUrl": "https://x.org"}]),
        "https://x.org",
        {},
    ),
}
IGNORED_2026: dict[str, tuple[str, Any, str]] = {
    # name → channel, body, kind
    "status of a call that rings": (
        "twilio_voice",
        call(CallStatus="ringing", CallbackSource="call-progress-events", SequenceNumber="1"),
        "status",
    ),
    "status of a call that is answered": (
        "twilio_voice",
        call(
            CallStatus="in-progress",
            CallbackSource="call-progress-events",
            Direction="outbound-api",
        ),
        "status",
    ),
    "recording of a call": (
        "twilio_voice",
        "AccountSid=AC1&CallSid=CA1&RecordingSid=RE1&RecordingStatus=completed",
        "recording",
    ),
    "quote and nothing else": (
        "rocketchat",
        room(text="[ ](https://chat.example/r?msg=a)"),
        "empty",
    ),
    "command to another bot": (
        "telegram",
        telegram(text="/start@another_bot now"),
        "other_bot",
    ),
    "guest": ("telegram", {"update_id": 3, "guest_message": {"text": "hi"}}, "guest_message"),
    "subscription": ("telegram", {"update_id": 3, "subscription": {"user": ADA}}, "subscription"),
    "community": (
        "telegram",
        telegram(community_chat_added={"community": {"id": 5, "name": "C"}}),
        "community_chat_added",
    ),
    "rich message without a text": (
        "telegram",
        telegram(rich_message={"blocks": [{"type": "divider"}]}),
        "unknown",
    ),
    "update of unknown shape": ("telegram", telegram(chat="club"), "unknown"),
    "button of unknown shape": ("telegram", {"update_id": 4, "callback_query": 1}, "unknown"),
    "new member": ("slack", slack(type="team_join", user=PROFILE), "team_join"),
    "new name": ("slack", slack(type="user_change", user=PROFILE), "user_change"),
    "call permission in messenger": (
        "facebook",
        messenger(call_permission_reply={"response": "accept"}),
        "call_permission_reply",
    ),
    "huddle": ("slack", slack(type="user_huddle_changed", user=PROFILE), "user_huddle_changed"),
    "new channel": ("slack", slack(type="channel_created", channel={"id": "C"}), "channel_created"),
    "work object": (
        "slack",
        slack(type="entity_details_requested", entity_url="https://x.org"),
        "entity_details_requested",
    ),
    "canvas": ("slack", slack(subtype="channel_canvas_updated"), "channel_canvas_updated"),
    "message of unknown shape": ("slack", slack(text={"a": 1}), "unknown"),
    "old dialog": (
        "slack",
        pressed({}, type="dialog_submission", actions=None, submission={"a": "b"}),
        "dialog_submission",
    ),
    "status of another number": (
        "whatsapp",
        whatsapp(statuses=[SENT], metadata={"phone_number_id": "2"}),
        "other_number",
    ),
    "status without a sender": (
        "twilio",
        "MessageSid=SM1&MessageStatus=accepted&MessagingServiceSid=MG1",
        "status_accepted",
    ),
    "empty card": ("botframework", teams(value=""), "empty"),
    "reaction": (
        "botframework",
        teams(type="messageReaction", reactionsAdded=[{"type": "like"}]),
        "messageReaction",
    ),
    "meeting": ("botframework", teams(type="event", value={}, **{"from": {}}), "event"),
    "home of an app": ("hangouts", {"type": "APP_HOME", "user": {"name": "users/1"}}, "APP_HOME"),
}
