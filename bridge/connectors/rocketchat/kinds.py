"""What Rocket.Chat can send: https://docs.rocket.chat/docs/integrations (events of outgoing
integrations) and https://docs.rocket.chat/docs/webhooks (omnichannel)."""

from bridge.connectors.toolkit.events import Kinds

LIVECHAT = (
    "LeadCapture",
    "LivechatEdit",
    "LivechatOfflineMessage",
    "LivechatSession",
    "LivechatSessionForwarded",
    "LivechatSessionQueued",
    "LivechatSessionStart",
    "LivechatSessionStarted",
    "LivechatSessionTaken",
)
"""Types of the omnichannel webhook other than a message; they repeat the messages of the chat."""

KINDS = Kinds(
    turn=("text", "edited", "file", "livechat", "livechat_file"),
    ignored=(
        "agent_message",
        "bare_mention",
        "bot_message",
        "closing_message",
        "empty",
        "navigation",
        "other_event",
        "own_message",
        *LIVECHAT,
    ),
)
