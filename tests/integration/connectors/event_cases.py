"""One example of every kind of event that a service has, by channel and kind.

The kinds are those that the connectors declare and docs/how-to/channels lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.connectors.botframework.kinds import KINDS as BOTFRAMEWORK
from bridge.connectors.facebook.kinds import EVENTS as FACEBOOK_EVENTS
from bridge.connectors.rocketchat.kinds import LIVECHAT
from bridge.connectors.slack import kinds as slack_kinds
from bridge.connectors.telegram import kinds as telegram_kinds
from bridge.connectors.twilio.kinds import OUTCOMES as TWILIO_OUTCOMES, UNDECIDED
from bridge.connectors.whatsapp.kinds import FIELDS, FILES, OUTCOMES
from tests.integration.connectors import (
    botframework_table as teams,
    facebook_table as facebook,
    hangouts_table as hangouts,
    mattermost_table as mattermost,
    rocketchat_table as rocketchat,
    slack_table as slack,
    telegram_table as telegram,
    twilio_table as twilio,
    twilio_voice_table as voice,
    webexteams_table as webex,
    whatsapp_table as whatsapp,
)
from tests.integration.connectors.tables import Post

FILE = {"file_id": "f1", "file_unique_id": "u1"}
PLACE = {"longitude": 9.2, "latitude": 45.1}


def update(**fields: Any) -> Post:
    return telegram.post({"update_id": 1, **fields})


TELEGRAM = {
    "text": telegram.update(),
    "edited_message": update(edited_message=telegram.message(text="new")),
    "callback_query": update(callback_query=telegram.QUERY),
    **{kind: telegram.update(text=None, **{kind: FILE}) for kind in telegram_kinds.FILES},
    "photo": telegram.update(text=None, photo=[FILE]),
    "location": telegram.update(text=None, location=PLACE),
    "venue": telegram.update(text=None, location=PLACE, venue={"title": "Here"}),
    "contact": telegram.update(text=None, contact={"phone_number": "+1555"}),
    "dice": telegram.update(text=None, dice={"emoji": "🎲", "value": 3}),
    "rich_message": telegram.update(text=None, rich_message={"blocks": [{"text": "hi"}]}),
    "web_app_data": telegram.update(text=None, web_app_data={"data": "{}"}),
    **{kind: telegram.update(text=None, **{kind: {"a": 1}}) for kind in telegram_kinds.OBJECTS},
    "automatic_forward": telegram.update(is_automatic_forward=True),
    "bare_mention": telegram.update(text=" @OurBot "),
    "other_bot": telegram.update(text="/start@another_bot"),
    "live_location": update(edited_message=telegram.message(text=None, location=telegram.LIVE)),
    "callback_query_without_data": update(callback_query={**telegram.QUERY, "data": None}),
    **{kind: telegram.update(text=None, **{kind: {}}) for kind in telegram_kinds.SERVICE},
    **{kind: update(**{kind: {}}) for kind in telegram_kinds.UPDATES},
}

BOT = {"name": "users/b", "type": "BOT"}
NAMED = [{"type": "USER_MENTION", "userMention": {"user": BOT, "type": "MENTION"}}]


def chat_message(**fields: Any) -> dict[str, Any]:
    return {"name": hangouts.NAME, "sender": hangouts.ADA, **fields}


def chat(kind: str, **changes: Any) -> Post:
    return hangouts.post(hangouts.event(kind, **changes))


LINK = "https://x.org"
HANGOUTS = {
    "MESSAGE": hangouts.post(hangouts.said()),
    "attachment": chat("MESSAGE", message=chat_message(attachment=[{"contentName": "cv.pdf"}])),
    "ADDED_TO_SPACE": chat("ADDED_TO_SPACE"),
    "REMOVED_FROM_SPACE": chat("REMOVED_FROM_SPACE"),
    "CARD_CLICKED": hangouts.post(hangouts.PRESSED),
    "APP_COMMAND": chat("APP_COMMAND", appCommandMetadata={"appCommandId": 2}),
    "bare_mention": chat(
        "MESSAGE", message=chat_message(text="@Bot", argumentText=" ", annotations=NAMED)
    ),
    "empty": chat("MESSAGE", message=chat_message()),
    "link_preview": chat(
        "MESSAGE",
        message=chat_message(text=LINK, argumentText=LINK, matchedUrl={"url": LINK}),
    ),
    "APP_HOME": chat("APP_HOME"),
    "SUBMIT_FORM": chat("SUBMIT_FORM"),
    "WIDGET_UPDATED": chat("WIDGET_UPDATED"),
}

EXECUTED = {"action": {"type": "Action.Execute", "verb": "affirm", "data": {"payload": "/affirm"}}}
COPY = {"contentType": "text/html", "content": "<div>OurBot</div>"}


def activity(**changes: Any) -> Post:
    return teams.post(teams.message(**changes))


TEAMS = {
    "message": activity(),
    "attachment": activity(text=None, attachments=[teams.FILE]),
    "value": activity(text=None, value={"payload": "/affirm"}),
    "adaptiveCard/action": activity(
        type="invoke", text=None, name="adaptiveCard/action", value=EXECUTED
    ),
    "invoke": activity(type="invoke", text=None, name="task/fetch", value={}),
    **{kind: activity(type=kind, text=None) for kind in BOTFRAMEWORK.ignored},
    "bare_mention": activity(
        text="<at>OurBot</at>&nbsp;", entities=[teams.MENTION], attachments=[COPY]
    ),
    "empty": activity(text=None),
}


def slacked(**changes: Any) -> Post:
    return slack.event(slack.message(**changes))


SLACK = {
    "message": slacked(),
    "app_mention": slacked(type="app_mention", text="<@U0BOT> hi"),
    "files": slacked(text="", files=[{"id": "F1", "name": "cv.pdf"}]),
    "forwarded": slacked(text="", attachments=[{"is_share": True, "text": "Lunch?"}]),
    **{kind: slacked(subtype=kind) for kind in ("file_share", "me_message", "thread_broadcast")},
    "block_actions": slack.interaction(slack.pressed(slack.BUTTON)),
    "interactive_message": slack.interaction(
        slack.pressed(slack.PICKED[0][1], type="interactive_message")
    ),
    "slash_command": slack.command(**slack.COMMAND),
    "url_verification": slack.event({"type": "url_verification", "challenge": "x"}),
    "ssl_check": slack.command(ssl_check="1"),
    "bare_mention": slacked(type="app_mention", text="<@U0BOT>"),
    "empty": slacked(text=""),
    "other_channel": slacked(channel="C1", channel_type="channel"),
    "link_button": slack.interaction(slack.pressed({"type": "button", "url": LINK})),
    **{kind: slacked(subtype=kind) for kind in slack_kinds.SUBTYPES},
    **{kind: slacked(type=kind) for kind in slack_kinds.EVENTS},
    **{
        kind: slack.interaction({"type": kind, "user": {"id": "U1"}})
        for kind in slack_kinds.INTERACTIONS
    },
}


def wa(**fields: Any) -> Post:
    return whatsapp.post(whatsapp.of(whatsapp.message(**fields)))


WHATSAPP = {
    "text": wa(**whatsapp.HELLO),
    "button_reply": wa(**whatsapp.chosen("button_reply", id="/a", title="A")),
    "list_reply": wa(**whatsapp.chosen("list_reply", id="/a", title="A")),
    "nfm_reply": wa(**whatsapp.chosen("nfm_reply", response_json="{}")),
    "button": wa(type="button", button={"payload": "/stop", "text": "Stop"}),
    "location": wa(type="location", location=whatsapp.PLACE),
    "contacts": wa(type="contacts", contacts=[{"emails": [{"email": "a@x.org"}]}]),
    "order": wa(type="order", order={"catalog_id": "1", "product_items": [{"quantity": 2}]}),
    **{kind: wa(**whatsapp.media(kind)) for kind in FILES},
    "hub.challenge": Post(method="GET", path=f"webhook?{whatsapp.CHALLENGE}{facebook.VERIFY}"),
    "empty": wa(type="text", text={"body": " "}),
    "errors": whatsapp.post(whatsapp.of(errors=[{"code": 130429}])),
    "group": wa(**whatsapp.HELLO, group_id="g"),
    "interactive": wa(**whatsapp.chosen("call_permission_reply", response="accept")),
    "other_number": whatsapp.post(whatsapp.of(whatsapp.message(**whatsapp.HELLO), number="1")),
    **{
        kind: wa(type=kind)
        for kind in ("edit", "reaction", "request_welcome", "revoke", "system", "unsupported")
    },
    **{
        f"status_{status}": whatsapp.post(
            whatsapp.of(statuses=[{"id": "wamid.1", "status": status}])
        )
        for status in (*OUTCOMES, "deleted", "warning")
    },
    "status_payment": whatsapp.post(
        whatsapp.of(statuses=[{"id": "wamid.1", "status": "failed", "type": "payment"}])
    ),
    **{field: whatsapp.post({"field": field, "value": {}}) for field in FIELDS},
}


def fb(*events: dict[str, Any], **entry: Any) -> Post:
    value = facebook.batch(*events)
    value["entry"][0].update(entry)
    return facebook.post(value)


def attached(kind: str, payload: Any, **more: Any) -> Post:
    attachment = {"type": kind, "payload": payload, **more}
    return fb(facebook.message(attachments=[attachment]))


FACEBOOK = {
    "text": fb(facebook.HELLO),
    "quick_reply": fb(facebook.message(text="Yes", quick_reply={"payload": "/affirm"})),
    "postback": fb(facebook.POSTBACK),
    "attachments": attached("image", {"url": facebook.URL}),
    "location": attached("location", {"coordinates": {"lat": 45.1, "long": 9}}),
    "product": attached("template", {"product": {"elements": [{"id": "1"}]}}),
    "fallback": attached("fallback", None, title="Page", url=LINK),
    "order": fb(facebook.event(order={"products": [{"id": 123, "quantity": 1}]})),
    "hub.challenge": Post(method="GET", path=f"webhook?{facebook.CHALLENGE}{facebook.VERIFY}"),
    "echo": fb(facebook.message(text="hi", is_echo=True)),
    "empty": fb(facebook.message()),
    "no_sender": fb({"message": {"mid": "m", "text": "hi"}}),
    "standby": fb(standby=[facebook.HELLO]),
    "changes": fb(changes=[{"field": "feed"}]),
    "delivery": fb(facebook.event(delivery={"mids": ["m1"], "watermark": 1767000001000})),
    "read": fb(facebook.event(read={"watermark": 1767000001000})),
    **{kind: fb(facebook.event(**{kind: {}})) for kind in FACEBOOK_EVENTS},
}

TWILIO = {
    "Body": twilio.post(),
    "ButtonPayload": twilio.post(ButtonText="Yes", ButtonPayload="/affirm"),
    "ListId": twilio.post(ListTitle="A", ListId="/a"),
    "InteractiveData": twilio.post(Body="", InteractiveData='{"size": "L"}'),
    "Latitude": twilio.post(Body="", Latitude="45.1", Longitude="9"),
    "MediaUrl0": twilio.post(Body="", **twilio.FILE),
    "empty": twilio.post(Body=" "),
    **{
        f"status_{status}": twilio.post(MessageStatus=status)
        for status in (*TWILIO_OUTCOMES, *UNDECIDED)
    },
}

VOICE = {
    "call": voice.post(CallStatus="ringing"),
    "SpeechResult": voice.post(SpeechResult="hello"),
    "Digits": voice.post(Digits="1"),
    "silence": voice.post(),
    "status": voice.post(CallStatus="completed"),
    "recording": voice.post(RecordingSid="RE1", RecordingStatus="completed"),
    "transcription": voice.post(TranscriptionSid="GT1", TranscriptionEvent="transcription-started"),
    "stream": voice.post(StreamSid="MZ1", StreamEvent="stream-started"),
    "conference": voice.post(ConferenceSid="CF1", StatusCallbackEvent="participant-join"),
    "machine_detection": voice.post(
        From=None, CallStatus=None, AnsweredBy="human", MachineDetectionDuration="3"
    ),
    "partial_result": voice.post(UnstableSpeechResult="hel", StableSpeechResult=""),
}

WEBEX = {
    "messages": webex.post(webex.event("aGVsbG8")),
    "files": webex.post(webex.event("ZmlsZQ")),
    "attachmentActions": webex.post(webex.event("cHJlc3M", "attachmentActions")),
    "bare_mention": webex.post(webex.event("YmFyZQ")),
    "empty": webex.post(webex.event("ZW1wdHk")),
    "own_message": webex.post(webex.event("b3du", personId=webex.BOT)),
    "deleted": webex.post(webex.event("aGVsbG8", what="deleted")),
    "updated": webex.post(webex.event("aGVsbG8", what="updated")),
    "not_found": webex.post(webex.event("Z29uZQ")),
    **{
        kind: webex.post(webex.event("eA", kind))
        for kind in (
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
        )
    },
}

MATTERMOST = {
    "outgoing_webhook": mattermost.post(mattermost.hook()),
    "file_ids": mattermost.post(mattermost.hook(text="", trigger_word="", file_ids="f1,f2")),
    "button": mattermost.post(mattermost.pressed()),
    "menu": mattermost.post(
        mattermost.pressed(context={"selected_option": "red", "token": mattermost.signature("")})
    ),
    "slash_command": mattermost.command(),
    "bare_mention": mattermost.post(mattermost.hook(text="@rasa", trigger_word="")),
    "empty": mattermost.post(mattermost.hook(text="", trigger_word="")),
    "own_post": mattermost.post(
        mattermost.hook(text="hi", trigger_word="", user_id=mattermost.BOT_USER)
    ),
}

IMAGE = {"attachments": [{"title": "cat.png", "title_link": "/file-upload/1/cat.png"}]}


def live(**message: Any) -> Post:
    return rocketchat.with_header(rocketchat.livechat(rocketchat.said(**message)))


ROCKETCHAT = {
    "text": rocketchat.post(rocketchat.hook()),
    "edited": rocketchat.post(rocketchat.hook(text="new", isEdited=True)),
    "file": rocketchat.post(rocketchat.hook(text="", message=IMAGE)),
    "livechat": rocketchat.with_header(rocketchat.livechat()),
    "livechat_file": live(msg="", fileUpload={"publicFilePath": "https://x.org/cat.png"}),
    "agent_message": live(username="grace", agentId="xyz"),
    "bare_mention": rocketchat.post(rocketchat.hook(text="@rasa")),
    "bot_message": rocketchat.post(rocketchat.hook(bot=True)),
    "closing_message": live(msg="bye", closingMessage=True),
    "empty": rocketchat.post(rocketchat.hook(text="")),
    "navigation": live(navigation={"page": {}}),
    "other_event": rocketchat.post(rocketchat.hook(text=None, message_id=None)),
    "own_message": rocketchat.post(rocketchat.hook(user_name="rasa")),
    **{kind: rocketchat.with_header(rocketchat.livechat(type=kind)) for kind in LIVECHAT},
}

EVENTS: Mapping[str, Mapping[str, Post]] = {
    "botframework": TEAMS,
    "facebook": FACEBOOK,
    "hangouts": HANGOUTS,
    "mattermost": MATTERMOST,
    "rocketchat": ROCKETCHAT,
    "slack": SLACK,
    "telegram": TELEGRAM,
    "twilio": TWILIO,
    "twilio_voice": VOICE,
    "webexteams": WEBEX,
    "whatsapp": WHATSAPP,
}
