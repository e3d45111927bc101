"""What Messenger can send:
https://developers.facebook.com/docs/messenger-platform/reference/webhook-events."""

from bridge.connectors.toolkit.events import Kinds

EVENTS = (
    "account_linking",
    "app_roles",
    "call_permission_reply",
    "game_play",
    "message_context",
    "message_edit",
    "message_reads",
    "messaging_customer_information",
    "messaging_feedback",
    "optin",
    "pass_thread_control",
    "payment",
    "policy_enforcement",
    "pre_checkout",
    "reaction",
    "referral",
    "request_thread_control",
    "response_feedback",
    "take_thread_control",
)
"""Fields of an event that says nothing."""

KINDS = Kinds(
    turn=(
        "text",
        "quick_reply",
        "postback",
        "attachments",
        "location",
        "product",
        "fallback",
        "order",
    ),
    answered=("hub.challenge",),
    ignored=("echo", "empty", "no_sender", "standby", "changes", *EVENTS),
    receipts=("delivery", "read"),
)
