"""What the Cloud API can send:
https://developers.facebook.com/documentation/business-messaging/whatsapp (Webhooks, fields)."""

from collections.abc import Mapping

from bridge.connectors.toolkit.events import Kinds
from bridge.connectors.toolkit.receipts import Outcome

FILES = ("image", "video", "audio", "document", "sticker")
OUTCOMES: Mapping[str, Outcome] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "read",
    "failed": "failed",
}
"""What became of a sent message: status → outcome."""
PAYMENT = "payment"
"""Type of a status that tells of a payment."""
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
    receipts=tuple(f"status_{status}" for status in OUTCOMES),
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
        "status_deleted",
        f"status_{PAYMENT}",
        "status_warning",
        *FIELDS,
    ),
)
