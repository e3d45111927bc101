"""Where to find the values of the keys that a channel requires."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from bridge.connectors.base import Connector
from bridge.errors import SettingsError
from bridge.settings.sections import known_keys, refuse_unknown

SIGNING = "Slack signs its requests with it; copy it from the Slack app's page Basic Information"
SLACK_BOT = "copy the bot token from the Slack app's page OAuth & Permissions"
TWILIO = "copy it from the start page of the Twilio console"
NUMBER = "name the sender of the replies, such as '+14155238886' or 'whatsapp:+14155238886'"
MESSENGER = "copy the page's token from the Meta app's page Messenger API Settings"
WHATSAPP = "copy it from the Meta app's page WhatsApp > API Setup"
AZURE_APP = "copy the Microsoft App ID from the Azure bot's page Configuration"
AZURE_CLIENT = "copy the client secret of the Azure bot's app registration"
ROCKETCHAT = "it is that of the bot's user in Rocket.Chat"

WHERE: Mapping[tuple[str, str], str] = {
    ("botframework", "app_id"): AZURE_APP,
    ("botframework", "app_password"): AZURE_CLIENT,
    ("callback", "url"): "name the URL to which the replies are posted",
    ("facebook", "page-access-token"): MESSENGER,
    ("mattermost", "url"): "name the server's API, such as 'https://chat.example.com/api/v4'",
    ("rasa", "url"): "name the API of Rasa Enterprise, such as 'https://enterprise.example/api'",
    ("rocketchat", "password"): ROCKETCHAT,
    ("rocketchat", "server_url"): "name the server, such as 'https://chat.example.com'",
    ("rocketchat", "user"): ROCKETCHAT,
    ("slack", "slack_signing_secret"): SIGNING,
    ("slack", "slack_token"): SLACK_BOT,
    ("telegram", "access_token"): "BotFather sends it, for example after the command /token",
    ("twilio", "account_sid"): TWILIO,
    ("twilio", "auth_token"): TWILIO,
    ("twilio", "twilio_number"): NUMBER,
    ("webexteams", "access_token"): "create it on the bot's page of developer.webex.com",
    ("webhook", "secret"): "choose a long random text; both sides sign their requests with it",
    ("webhook", "url"): "name the URL to which the replies are posted",
    ("whatsapp", "access_token"): WHATSAPP,
    ("whatsapp", "phone_number_id"): WHATSAPP,
}
"""Channel and key → what to do if the key is missing."""


def required_keys(cls: type[Connector]) -> list[str]:
    """Return the keys without which a channel cannot be built, in the order of its parameters."""
    return [
        cls.key_of.get(name, name)
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]


def require(cls: type[Connector], given: Mapping[str, object]) -> None:
    """Check that a section has all required keys.

    Raises:
        SettingsError: one is missing; the fix says where its value is found. Or a key is unknown,
            perhaps because it is misspelled.
    """
    refuse_unknown(given, known_keys(cls, cls.key_of) or given)
    for key in required_keys(cls):
        if key not in given:
            fix = WHERE.get((cls.name, key), "add it to the section")
            raise SettingsError(f"key '{key}' is missing", fix=fix)
