"""What providers send that says nothing: channel, body, kind."""

from __future__ import annotations

from typing import Any

from tests.unit.connectors.payload_shapes import (
    ADA,
    chat,
    messenger,
    slack,
    teams,
    telegram,
    wa,
    whatsapp,
)

QUOTE = {"type": "quotedReply", "quotedReply": {"messageId": "17720", "preview": "When?"}}
PAYMENT = {
    "id": "wamid.1",
    "from": "16505551234",
    "type": "payment",
    "status": "failed",
    "payment": {"reference_id": "r", "amount": {"value": 21000, "offset": 100}, "currency": "INR"},
    "timestamp": "1767000000",
}
FORM_OF_FEEDBACK = {
    "feedback_screens": [{"screen_id": 0, "questions": {"q1": {"type": "csat", "payload": "4"}}}]
}
IGNORED: dict[str, tuple[str, Any, str]] = {
    "post of the channel": (
        "telegram",
        telegram(text="News", is_automatic_forward=True, sender_chat={"id": -1, "type": "channel"}),
        "automatic_forward",
    ),
    "declined post": (
        "telegram",
        telegram(suggested_post_declined={"comment": "no"}),
        "suggested_post_declined",
    ),
    "new owner": (
        "telegram",
        telegram(chat_owner_changed={"new_owner": ADA}),
        "chat_owner_changed",
    ),
    "option of a poll": (
        "telegram",
        telegram(poll_option_added={"option_text": "a"}),
        "poll_option_added",
    ),
    "managed bot": ("telegram", {"update_id": 3, "managed_bot": {"user": ADA}}, "managed_bot"),
    "failed payment": ("whatsapp", whatsapp(statuses=[PAYMENT]), "status_payment"),
    "call permission": (
        "whatsapp",
        wa(
            type="interactive",
            interactive={
                "type": "call_permission_reply",
                "call_permission_reply": {"response": "accept"},
            },
        ),
        "interactive",
    ),
    "deleted message": ("facebook", messenger(message={"mid": "m", "is_deleted": True}), "empty"),
    "thumbs": (
        "facebook",
        messenger(response_feedback={"feedback": "Good response", "mid": "m"}),
        "response_feedback",
    ),
    "feedback": ("facebook", messenger(messaging_feedback=FORM_OF_FEEDBACK), "messaging_feedback"),
    "preview without a share": (
        "slack",
        slack(attachments=[{"text": "X", "from_url": "https://x.org"}]),
        "empty",
    ),
    "quote alone": (
        "botframework",
        teams(text='<quoted messageId="1"/>', entities=[QUOTE]),
        "bare_mention",
    ),
    "typing": ("botframework", teams(type="typing"), "typing"),
    "closed dialog": (
        "hangouts",
        chat("CARD_CLICKED", isDialogEvent=True, dialogEventType="CANCEL_DIALOG"),
        "empty",
    ),
}
