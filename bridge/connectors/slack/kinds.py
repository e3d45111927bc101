"""What Slack can send: https://docs.slack.dev/reference/events, …/events/message (subtypes) and
…/interaction-payloads."""

from bridge.connectors.toolkit.events import Kinds

SUBTYPES = (
    "assistant_app_thread",
    "bot_add",
    "bot_message",
    "bot_remove",
    "channel_archive",
    "channel_convert_to_private",
    "channel_join",
    "channel_leave",
    "channel_name",
    "channel_posting_permissions",
    "channel_purpose",
    "channel_topic",
    "channel_unarchive",
    "document_mention",
    "ekm_access_denied",
    "file_comment",
    "file_mention",
    "group_archive",
    "group_join",
    "group_leave",
    "group_name",
    "group_purpose",
    "group_topic",
    "group_unarchive",
    "huddle_thread",
    "message_changed",
    "message_deleted",
    "message_replied",
    "pinned_item",
    "reminder_add",
    "reply_broadcast",
    "tombstone",
    "unpinned_item",
)
"""Messages that no user typed, edits, and what Slack writes into a channel."""
EVENTS = (
    "app_home_opened",
    "app_rate_limited",
    "app_uninstalled",
    "assistant_thread_context_changed",
    "assistant_thread_started",
    "channel_created",
    "channel_rename",
    "file_shared",
    "function_executed",
    "link_shared",
    "member_joined_channel",
    "member_left_channel",
    "reaction_added",
    "reaction_removed",
    "team_join",
    "tokens_revoked",
    "user_change",
)
"""Events other than messages."""
INTERACTIONS = (
    "block_suggestion",
    "message_action",
    "shortcut",
    "view_closed",
    "view_submission",
    "workflow_step_edit",
)
"""Interactions other than buttons and menus."""

KINDS = Kinds(
    turn=(
        "message",
        "app_mention",
        "files",
        "forwarded",
        "file_share",
        "me_message",
        "thread_broadcast",
        "block_actions",
        "interactive_message",
        "slash_command",
    ),
    answered=("url_verification", "ssl_check"),
    ignored=(
        "bare_mention",
        "empty",
        "other_channel",
        "link_button",
        *SUBTYPES,
        *EVENTS,
        *INTERACTIONS,
    ),
)
