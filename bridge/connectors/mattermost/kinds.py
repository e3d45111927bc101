"""What Mattermost can send: https://developers.mattermost.com/integrate/webhooks/outgoing,
…/integrate/plugins/interactive-messages and …/integrate/slash-commands."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(
    turn=("outgoing_webhook", "file_ids", "button", "menu", "slash_command"),
    ignored=("bare_mention", "empty", "own_post"),
)
