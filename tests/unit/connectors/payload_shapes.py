"""Shapes of what services post, with their usual fields."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

NUMBER = "106540352242922"
ADA = {"id": 5551, "is_bot": False, "first_name": "Ada"}
CLUB = {"id": -1001234567890, "title": "Club", "type": "supergroup"}
WHO = {"sender": {"id": "1254459154682919"}, "recipient": {"id": "682498171943165"}}


def telegram(**fields: Any) -> Any:
    message = {"message_id": 7, "from": ADA, "chat": CLUB, "date": 1767000000}
    return {"update_id": 1, "message": {**message, **fields}}


def slack(**event: Any) -> Any:
    said = {"user": "U1", "type": "message", "ts": "1.1", "channel": "D1", "channel_type": "im"}
    return {
        "type": "event_callback",
        "event": {**said, "text": "", **event},
        "authorizations": [{"user_id": "UBOT", "is_bot": True}],
    }


def pressed(action: Any, **more: Any) -> str:
    return urlencode(
        {
            "payload": json.dumps(
                {
                    "type": "block_actions",
                    "user": {"id": "U1"},
                    "trigger_id": "t1",
                    "channel": {"id": "D1"},
                    "actions": [action],
                    **more,
                }
            )
        }
    )


def whatsapp(*messages: Any, **value: Any) -> Any:
    given = {"metadata": {"phone_number_id": NUMBER}, "messages": list(messages), **value}
    return {"entry": [{"id": "1", "changes": [{"field": "messages", "value": given}]}]}


def wa(**fields: Any) -> Any:
    return whatsapp({"from": "16505551234", "id": "wamid.1", "timestamp": "1767000000", **fields})


def messenger(**event: Any) -> Any:
    return {
        "object": "page",
        "entry": [{"messaging": [{**WHO, "timestamp": 1767000000000, **event}]}],
    }


def teams(**fields: Any) -> Any:
    return {
        "type": "message",
        "id": "1",
        "channelId": "msteams",
        "serviceUrl": "https://smba.trafficmanager.net/emea/",
        "from": {"id": "29:abc", "name": "Ada"},
        "recipient": {"id": "28:app-1", "name": "OurBot"},
        "conversation": {"id": "19:xyz@thread.tacv2", "conversationType": "channel"},
        **fields,
    }


def chat(kind: str = "MESSAGE", **fields: Any) -> Any:
    user = {"name": "users/1", "displayName": "Ada", "type": "HUMAN"}
    space = {"name": "spaces/A", "type": "ROOM", "displayName": "Ops"}
    return {
        "type": kind,
        "eventTime": "2026-05-12T10:01:00Z",
        "space": space,
        "user": user,
        **fields,
    }


def added_on(payload: str, **fields: Any) -> Any:
    user, space = chat()["user"], chat()["space"]
    about = {"user": user, "eventTime": "2026-05-12T10:01:00Z"}
    return {"commonEventObject": {}, "chat": {**about, payload: {"space": space, **fields}}}


def sms(**fields: str) -> str:
    return urlencode({"MessageSid": "SM1", "From": "+15550199", "To": "+15550100", **fields})


def call(**fields: str) -> str:
    known = {"AccountSid": "AC1", "CallSid": "CA1", "From": "+15551", "To": "+15552"}
    return urlencode({**known, "Direction": "inbound", **fields})


def room(**fields: Any) -> Any:
    return {
        "token": "t",
        "bot": False,
        "channel_id": "R1",
        "channel_name": "general",
        "message_id": "M1",
        "user_id": "U1",
        "user_name": "ada",
        **fields,
    }
