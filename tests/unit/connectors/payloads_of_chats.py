"""What people send in Telegram and Slack: channel, body, text, part of the metadata."""

from __future__ import annotations

from typing import Any

from tests.unit.connectors.payload_shapes import (
    ADA,
    CLUB,
    pressed,
    slack,
    telegram,
)

FORWARDED = {
    "is_msg_unfurl": True,
    "is_share": True,
    "text": "Lunch &amp; learn at <https://x.org|x.org>",
    "fallback": "[Sep 13th] grace: Lunch",
    "author_name": "Grace",
    "channel_id": "C9",
    "ts": "1789344570.211",
}
INPUTS = {"block": {"name": {"type": "plain_text_input", "value": "Ada"}}}
RICH = {
    "type": "rich_text",
    "elements": [
        {
            "type": "rich_text_section",
            "elements": [{"type": "text", "text": "hi "}, {"type": "link", "url": "https://x.org"}],
        }
    ],
}
CHATS: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    # name → channel, body, text, part of the metadata
    "quoted in telegram": (
        "telegram",
        telegram(
            text="this one",
            quote={"text": "at 9", "position": 3},
            reply_to_message={"message_id": 5},
        ),
        "this one",
        {"quote": "at 9", "reply_to": 5},
    ),
    "forwarded in telegram": (
        "telegram",
        telegram(
            text="see",
            forward_origin={"type": "hidden_user", "sender_user_name": "Grace", "date": 1},
        ),
        "see",
        {"forward_origin": {"type": "hidden_user", "sender_user_name": "Grace", "date": 1}},
    ),
    "topic of a private chat": (
        "telegram",
        telegram(
            text="hi",
            chat={"id": 5551, "type": "private"},
            message_thread_id=3,
            is_topic_message=True,
        ),
        "hi",
        {"message_thread_id": 3},
    ),
    "checklist title beside a caption": (
        "telegram",
        telegram(photo=[{"file_id": "s"}, {"file_id": "l"}], caption="@OUR_BOT my roof"),
        "my roof",
        {"photo": "l"},
    ),
    "message of an inaccessible button": (
        "telegram",
        {
            "update_id": 2,
            "callback_query": {
                "id": "1",
                "from": ADA,
                "data": "/yes",
                "message": {"chat": CLUB, "message_id": 7, "date": 0},
            },
        },
        "/yes",
        {"user_id": 5551},
    ),
    "forwarded in slack": (
        "slack",
        slack(attachments=[FORWARDED]),
        "Lunch & learn at x.org",
        {
            "forwarded": [
                {
                    "text": "Lunch & learn at x.org",
                    "author": "Grace",
                    "channel": "C9",
                    "ts": "1789344570.211",
                }
            ]
        },
    ),
    "forwarded with a comment": (
        "slack",
        slack(text="deal with this", attachments=[FORWARDED]),
        "deal with this",
        {},
    ),
    "forwarded file": (
        "slack",
        slack(
            attachments=[
                {
                    "is_share": True,
                    "text": "",
                    "files": [{"id": "F1", "url_private": "https://f/1"}],
                }
            ]
        ),
        "https://f/1",
        {},
    ),
    "link preview": (
        "slack",
        slack(text="<https://x.org>", attachments=[{"from_url": "https://x.org", "text": "X"}]),
        "https://x.org",
        {},
    ),
    "audio clip": (
        "slack",
        slack(
            subtype="file_share",
            files=[{"id": "F1", "subtype": "slack_audio", "url_private": "https://f/a"}],
        ),
        "https://f/a",
        {"files": [{"id": "F1", "url": "https://f/a"}]},
    ),
    "button beside inputs": (
        "slack",
        pressed({"type": "button", "value": "/save"}, state={"values": INPUTS}),
        "/save",
        {"inputs": INPUTS},
    ),
    "rich text input": (
        "slack",
        pressed({"type": "rich_text_input", "rich_text_value": RICH}),
        "hi https://x.org",
        {},
    ),
    "feedback buttons": (
        "slack",
        pressed({"type": "feedback_buttons", "value": "/good"}),
        "/good",
        {},
    ),
    "file input": (
        "slack",
        pressed({"type": "file_input", "files": [{"id": "F1", "url_private": "https://f/1"}]}),
        "https://f/1",
        {},
    ),
    "number input": ("slack", pressed({"type": "number_input", "value": "7"}), "7", {}),
}
