"""Types of activities:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-activities."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(
    turn=("message", "attachment", "value", "adaptiveCard/action"),
    answered=("invoke",),
    ignored=(
        "bare_mention",
        "empty",
        "command",
        "commandResult",
        "contactRelationUpdate",
        "conversationUpdate",
        "delay",
        "deleteUserData",
        "endOfConversation",
        "event",
        "handoff",
        "installationUpdate",
        "invokeResponse",
        "messageDelete",
        "messageReaction",
        "messageUpdate",
        "suggestion",
        "trace",
        "typing",
    ),
)
