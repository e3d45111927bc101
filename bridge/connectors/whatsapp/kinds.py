"""What the Cloud API can send:
https://developers.facebook.com/documentation/business-messaging/whatsapp (Webhooks, fields)."""

from bridge.connectors.toolkit.events import Kinds

FILES = ("image", "video", "audio", "document", "sticker")
STATUSES = ("sent", "delivered", "read", "played", "failed", "deleted", "warning")
"""What became of a sent message."""
FIELDS = (
    "account_alerts",
    "account_review_update",
    "account_settings_update",
    "account_update",
    "automatic_events",
    "business_capability_update",
    "business_status_update",
    "calls",
    "flows",
    "group_lifecycle_update",
    "group_participants_update",
    "group_settings_update",
    "group_status_update",
    "history",
    "message_echoes",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "messaging_handovers",
    "partner_solutions",
    "payment_configuration_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "smb_app_state_sync",
    "smb_message_echoes",
    "standby",
    "template_category_update",
    "user_id_update",
    "user_preferences",
)
"""Fields of the webhook other than `messages`."""

KINDS = Kinds(
    turn=(
        "text",
        "button_reply",
        "list_reply",
        "nfm_reply",
        "button",
        "location",
        "contacts",
        "order",
        *FILES,
    ),
    answered=("hub.challenge",),
    ignored=(
        "edit",
        "empty",
        "errors",
        "group",
        "interactive",
        "other_number",
        "reaction",
        "request_welcome",
        "revoke",
        "system",
        "unsupported",
        *(f"status_{status}" for status in STATUSES),
        *FIELDS,
    ),
)
