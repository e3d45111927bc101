"""What Webex can send: https://developer.webex.com/docs/api/guides/webhooks (resources)."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(
    turn=("messages", "files", "attachmentActions"),
    ignored=(
        "bare_mention",
        "empty",
        "own_message",
        "deleted",
        "updated",
        "not_found",
        "memberships",
        "rooms",
        "meetings",
        "meetingMessages",
        "meetingParticipants",
        "meetingTranscripts",
        "recordings",
        "telephony_calls",
        "adminBatchJobs",
        "convergedRecordings",
        "dataSources",
        "serviceApp",
        "telephony_conference",
        "telephony_mwi",
        "uc_counters",
    ),
)
