"""What Google Chat can send: https://developers.google.com/workspace/chat/interaction-events."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(
    turn=(
        "MESSAGE",
        "attachment",
        "ADDED_TO_SPACE",
        "REMOVED_FROM_SPACE",
        "CARD_CLICKED",
        "APP_COMMAND",
    ),
    ignored=(
        "bare_mention",
        "empty",
        "link_preview",
        "APP_HOME",
        "SUBMIT_FORM",
        "WIDGET_UPDATED",
    ),
)
