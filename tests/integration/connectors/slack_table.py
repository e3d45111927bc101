"""`slack`: shapes of docs.slack.dev (Events API, interaction payloads, slash commands, signing)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from tests.integration.connectors.tables import (
    Failure,
    Genuine,
    Incoming,
    Outgoing,
    Post,
    Sent,
    Table,
    as_bytes,
    cases,
)

NOW = 1531420618
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TOKEN = "xoxb-1-fake"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def signed(body: bytes, kind: str, at: int = NOW, **headers: Any) -> Post:
    """Sign as specified in https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    digest = hmac.new(SECRET.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return Post(
        body,
        {
            "Content-Type": kind,
            "X-Slack-Request-Timestamp": str(at),
            "X-Slack-Signature": f"v0={digest}",
            **headers,
        },
    )


def event(value: Any, **headers: Any) -> Post:
    return signed(as_bytes(value), JSON, **headers)


def interaction(value: Any) -> Post:
    return signed(urlencode({"payload": as_bytes(value)}).encode(), FORM)


def command(**fields: str) -> Post:
    return signed(urlencode(fields).encode(), FORM)


def message(**changes: Any) -> dict[str, Any]:
    """Return the envelope of a direct message with changes to its event; None removes a key."""
    inner = {
        "type": "message",
        "channel": "D024BE91L",
        "user": "U2147483697",
        "text": "Hello hello can you hear me?",
        "ts": "1355517523.000005",
        "event_ts": "1355517523.000005",
        "channel_type": "im",
        "client_msg_id": "3d1c1d3e-7a5b-4a0e-9c0f-0c4f1f9d8d1a",
        "team": "T061EG9R6",
        "blocks": [{"type": "rich_text", "elements": [{"type": "text", "text": "Hello"}]}],
        **changes,
    }
    return {
        "token": "one-long-verification-token",
        "team_id": "T061EG9R6",
        "api_app_id": "A0PNCHHK2",
        "event": {key: value for key, value in inner.items() if value is not None},
        "type": "event_callback",
        "event_id": "Ev0PV52K21",
        "event_time": 1355517523,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": "T061EG9R6",
                "user_id": "U0BOT",
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
    }


def pressed(action: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a block_actions payload with one action."""
    return {
        "type": "block_actions",
        "team": {"id": "T9TK3CUKW", "domain": "example"},
        "user": {"id": "UA8RXUSPL", "username": "jtorrance", "team_id": "T9TK3CUKW"},
        "api_app_id": "AABA1ABCD",
        "token": "9s8d9as89d8as9d8as989",
        "container": {
            "type": "message",
            "message_ts": "1548261231.000200",
            "channel_id": "CBR2V3XEX",
            "is_ephemeral": False,
        },
        "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
        "channel": {"id": "CBR2V3XEX", "name": "review-updates"},
        "message": {
            "bot_id": "BAH5CA16Z",
            "type": "message",
            "text": "This content can't be displayed.",
            "user": "UAJ2RU415",
            "ts": "1548261231.000200",
        },
        "response_url": "https://hooks.slack.com/actions/AABA1ABCD/1232321423432/D09sSasdasdAS9091209",
        "actions": [
            {"action_id": "WaXA", "block_id": "=qXel", "action_ts": "1548426417.8", **action}
        ],
        **changes,
    }


HELLO: dict[str, Any] = {
    "id": "D024BE91L:1355517523.000005",
    "sender_id": "U2147483697",
    "text": "Hello hello can you hear me?",
    "input_channel": "slack",
    "output_channel": "slack",
    "metadata": {
        "out_channel": "D024BE91L",
        "thread_id": "1355517523.000005",
        "users": ["U0BOT"],
    },
    "route": {"channel": "D024BE91L", "thread_ts": "1355517523.000005"},
}
BUTTON = {"type": "button", "value": "/affirm", "text": {"type": "plain_text", "text": "Yes"}}
COMMAND = {
    "token": "gIkuvaNzQIHg97ATvDxqgjtO",
    "team_id": "T0001",
    "team_domain": "example",
    "channel_id": "C2147483705",
    "channel_name": "test",
    "user_id": "U2147483697",
    "user_name": "Steve",
    "command": "/weather",
    "text": "94070",
    "response_url": "https://hooks.slack.com/commands/1234/5678",
    "trigger_id": "13345224609.738474920.8088930838d88f008e0",
    "api_app_id": "A123456",
}
# The example in Slack's documentation of its signatures, with a known result.
KNOWN = (
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    "%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
KNOWN_SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"

PICKED: list[tuple[str, dict[str, Any], str]] = [
    (
        "a button of an old attachment",
        {"name": "game", "type": "button", "value": "/chess"},
        "/chess",
    ),
    ("an old menu", {"type": "select", "selected_options": [{"value": "maze"}]}, "maze"),
    ("a menu", {"type": "static_select", "selected_option": {"value": "v1"}}, "v1"),
    ("an external menu", {"type": "external_select", "selected_option": {"value": "v2"}}, "v2"),
    ("a conversation", {"type": "conversations_select", "selected_conversation": "C1"}, "C1"),
    ("a user", {"type": "users_select", "selected_user": "U1"}, "U1"),
    ("a channel", {"type": "channels_select", "selected_channel": "C2"}, "C2"),
    ("an overflow menu", {"type": "overflow", "selected_option": {"value": "v3"}}, "v3"),
    ("a date", {"type": "datepicker", "selected_date": "2026-11-22"}, "2026-11-22"),
]
NEWER = "Rasa does not support this type of action and answers with a 500"
PICKED_NEWER: list[tuple[str, dict[str, Any], str]] = [
    ("a time", {"type": "timepicker", "selected_time": "11:40"}, "11:40"),
    ("a date and time", {"type": "datetimepicker", "selected_date_time": 1628633820}, "1628633820"),
    ("a radio button", {"type": "radio_buttons", "selected_option": {"value": "A1"}}, "A1"),
    (
        "checkboxes",
        {"type": "checkboxes", "selected_options": [{"value": "A1"}, {"value": "B2"}]},
        "A1, B2",
    ),
    ("several users", {"type": "multi_users_select", "selected_users": ["U1", "U2"]}, "U1, U2"),
    ("a typed text", {"type": "plain_text_input", "value": "hi there"}, "hi there"),
]

AS_IS = "Rasa passes on Slack's escapes and references"
EPHEMERAL = "Rasa shows its answer to everyone, outside the thread"
FILE = {
    "id": "F1",
    "name": "cv.pdf",
    "mimetype": "application/pdf",
    "url_private": "https://x.org/cv.pdf",
}
ABOUT_FILE = {
    "id": "F1",
    "name": "cv.pdf",
    "mimetype": "application/pdf",
    "url": "https://x.org/cv.pdf",
}


def ephemeral(**container: Any) -> dict[str, Any]:
    """Return the payload of a button below a message that only one user sees."""
    value = pressed(BUTTON)
    value["container"] |= {"is_ephemeral": True, **container}
    return {key: inner for key, inner in value.items() if key != "message"}


INCOMING = [
    Incoming("a direct message is one message", event(message()), [HELLO], answer=""),
    Incoming(
        "a mention is removed from the text",
        event(message(type="app_mention", channel_type=None, text="<@U0BOT> is it <@U1> now?")),
        [{"text": "is it <@U1> now?", "sender_id": "U2147483697"}],
    ),
    Incoming(
        "mentions in the middle and alone",
        event(message(type="app_mention", text="ask <@U0BOT>, or<@U0BOT>so")),
        [{"text": "ask, or so"}],
    ),
    Incoming(
        "a message in a thread is answered in the thread",
        event(message(thread_ts="1355517000.000001")),
        [
            {
                "metadata": {**HELLO["metadata"], "thread_id": "1355517000.000001"},
                "route": {"channel": "D024BE91L", "thread_ts": "1355517000.000001"},
            }
        ],
    ),
    Incoming(
        "a message in slack_channel is accepted",
        event(message(channel="COWN", channel_type="channel")),
        [
            {
                "id": "COWN:1355517523.000005",
                "route": {"channel": "COWN", "thread_ts": HELLO["route"]["thread_ts"]},
            }
        ],
    ),
    Incoming(
        "a mention in slack_channel has the id of the message event beside it",
        event(message(type="app_mention", channel="COWN", channel_type=None)),
        [{"id": "COWN:1355517523.000005"}],
    ),
    Incoming(
        "users of older apps (authed_users)",
        event({**message(text="<@U9> hi"), "authed_users": ["U9", "U8"]}),
        [{"text": "hi", "metadata": {**HELLO["metadata"], "users": ["U9", "U8"]}}],
    ),
    Incoming(
        "a link is reduced to the typed text",
        event(message(text="see <https://rasa.com|rasa.com> and <http://a.b/?x=1|a.b/?x=1> now")),
        [{"text": "see rasa.com and a.b/?x=1 now"}],
    ),
    Incoming(
        "an email address is reduced to the typed text",
        event(message(text="write <mailto:ada@x.org|ada@x.org>")),
        [{"text": "write ada@x.org"}],
        differs="Rasa intends the same, but its pattern requires // after mailto:",
    ),
    *[
        Incoming(
            f"{written!r} is {said!r}",
            event(message(text=written)),
            [{"text": said}],
            differs=AS_IS,
        )
        for written, said in [
            (
                "AT&amp;T &lt; 20, <https://x.org/a?b=1&amp;c=2>",
                "AT&T < 20, https://x.org/a?b=1&c=2",
            ),
            ("&amp;lt; is not &lt;", "&lt; is not <"),
            ("a &lt;@U0BOT&gt; b", "a <@U0BOT> b"),
            ("in <#C1|general> call <tel:+1555|555>", "in #general call 555"),
            ("<!here> <!subteam^S1|@team> <@U2|eve>", "@here @team @eve"),
            ("on <!date^1392734382^{date}|February 18>", "on February 18"),
        ]
    ],
    Incoming(
        "a mention alone is ignored",
        event(message(type="app_mention", text=" <@U0BOT> ")),
        answer="",
        differs="Rasa runs a turn without a text",
    ),
    Incoming(
        "a file without a text says its URL",
        event(message(subtype="file_share", text="", files=[FILE])),
        [
            {
                "text": "https://x.org/cv.pdf",
                "metadata": {**HELLO["metadata"], "files": [ABOUT_FILE]},
            }
        ],
        differs="Rasa ignores files",
    ),
    Incoming(
        "a thread of a direct message is answered there, as in the assistant's pane",
        event(message(thread_ts="1355517000.000001")),
        [{"route": {"channel": "D024BE91L", "thread_ts": "1355517000.000001"}}],
        settings={"use_threads": False},
    ),
    Incoming(
        "a thread of a channel is not",
        event(message(type="app_mention", channel="C1", channel_type=None, thread_ts="1.1")),
        [{"route": {"channel": "C1"}}],
        settings={"use_threads": False},
    ),
    Incoming(
        "a button in the assistant's pane is answered there",
        interaction(
            pressed(BUTTON, channel={"id": "D1"}, message={"ts": "1.2", "thread_ts": "1.1"})
        ),
        [{"route": {"channel": "D1", "thread_ts": "1.1"}}],
        settings={"use_threads": False},
    ),
    *[
        Incoming(
            f"a button of an ephemeral message {where} is answered there",
            interaction(ephemeral(**container)),
            [{"route": {"channel": "CBR2V3XEX", "ephemeral": "UA8RXUSPL", **thread}}],
            settings={"use_threads": use_threads},
            # Rasa answers in the same channel; there, the parity test compares nothing else.
            differs=EPHEMERAL if thread else "",
        )
        for use_threads in (True, False)
        for where, container, thread in cases(
            ("in a thread", {"thread_ts": "1.1"}, {"thread_ts": "1.1"}),
            ("of a channel", {}, {}),
        )
    ],
    Incoming(
        "a button of an ephemeral message in a direct message is answered by a message",
        interaction({**ephemeral(channel_id="D1"), "channel": {"id": "D1"}}),
        [{"route": {"channel": "D1"}}],
    ),
    Incoming("a file with a text", event(message(subtype="file_share")), [{"text": HELLO["text"]}]),
    Incoming(
        "a retry is accepted: it has the same id",
        event(message(), **{"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_error"}),
        [{"id": HELLO["id"]}],
    ),
    Incoming(
        "a retry after a timeout is accepted",
        event(message(), **{"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}),
        [{"id": HELLO["id"]}],
        differs="Rasa drops it, since it cannot recognise duplicates by their id",
    ),
    Incoming(
        "a retry with a reason in errors_ignore_retry is dropped",
        event(message(), **{"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "ssl_error"}),
        status=201,
        answer="",
        settings={"errors_ignore_retry": ["ssl_error"]},
    ),
    *[
        Incoming(
            f"one conversation per {granularity}",
            event(message()),
            [{"sender_id": sender}],
            settings={"conversation_granularity": granularity},
        )
        for granularity, sender in [
            ("sender", "U2147483697"),
            ("channel", "U2147483697_D024BE91L"),
            ("thread", "U2147483697_D024BE91L_1355517523.000005"),
        ]
    ],
    Incoming(
        "without use_threads, the route has no thread",
        event(message()),
        [{"metadata": HELLO["metadata"], "route": {"channel": "D024BE91L"}}],
        settings={"use_threads": False},
    ),
    Incoming(
        "other names of the retry headers",
        event(message(), **{"X-Num": "2", "X-Reason": "ssl_error"}),
        status=201,
        settings={
            "errors_ignore_retry": ["ssl_error"],
            "slack_retry_number_header": "X-Num",
            "slack_retry_reason_header": "X-Reason",
        },
    ),
    *[
        Incoming(f"{what} is ignored", event(message(**changes)), answer="")
        for what, changes in cases(
            ("a message of a bot", {"bot_id": "B1"}),
            ("an edit", {"subtype": "message_changed", "text": None, "message": {"text": "x"}}),
            ("a deletion", {"subtype": "message_deleted", "text": None}),
            ("a message without text", {"text": ""}),
            ("a reaction", {"type": "reaction_added", "text": None, "item": {"type": "message"}}),
            ("a message in another channel", {"channel": "C1", "channel_type": "channel"}),
            ("a message in a group", {"channel": "G1", "channel_type": "mpim"}),
        )
    ],
    Incoming(
        "an event about a channel is ignored",
        event(message(type="channel_created", text=None, channel={"id": "C1", "name": "fun"})),
    ),
    *[
        Incoming(
            f"{what} is ignored",
            event(message(**changes)),
            differs="Rasa treats every event with a text as a user's message",
        )
        for what, changes in cases(
            ("a user who joins", {"subtype": "channel_join", "text": "<@U1> has joined"}),
            ("a message of an app", {"subtype": "bot_message"}),
            ("a message without a user", {"user": None}),
        )
    ],
    Incoming(
        "url_verification is answered with its challenge",
        event(
            {
                "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
                "challenge": "3eZbrw1aBm2r",
                "type": "url_verification",
            }
        ),
        answer="3eZbrw1aBm2r",
        differs="Rasa returns it in quotes, unlike Slack's documentation",
    ),
    Incoming(
        "a button sends its value",
        interaction(pressed(BUTTON)),
        [
            {
                "id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
                "sender_id": "UA8RXUSPL",
                "text": "/affirm",
                "metadata": {
                    "out_channel": "CBR2V3XEX",
                    "thread_id": "1548261231.000200",
                    "users": ["UA8RXUSPL"],
                },
                "route": {"channel": "CBR2V3XEX", "thread_ts": "1548261231.000200"},
            }
        ],
        answer="",
    ),
    Incoming(
        "a button of an old-style attachment has no message",
        interaction(
            pressed(PICKED[0][1], type="interactive_message", message=None) | {"message": {}}
        ),
        [
            {
                "text": "/chess",
                "metadata": {"out_channel": "CBR2V3XEX", "thread_id": None, "users": ["UA8RXUSPL"]},
            }
        ],
    ),
    *[
        Incoming(f"{what} is selected", interaction(pressed(action)), [{"text": text}])
        for what, action, text in PICKED
    ],
    *[
        Incoming(
            f"{what} is selected", interaction(pressed(action)), [{"text": text}], differs=NEWER
        )
        for what, action, text in PICKED_NEWER
    ],
    Incoming(
        "two actions are two messages",
        interaction(pressed(BUTTON, actions=[BUTTON, {**BUTTON, "value": "/deny"}])),
        [{"text": "/affirm"}, {"text": "/deny"}],
        differs="Rasa reads only the first",
    ),
    Incoming(
        "a link button is ignored",
        interaction(pressed({"type": "button", "url": "https://example.com/"})),
        answer="",
    ),
    Incoming(
        "a deselected option is ignored",
        interaction(pressed({"type": "static_select", "selected_option": None})),
        differs="Rasa answers with a 500, which Slack shows the user as a failure",
    ),
    Incoming(
        "a modal is ignored",
        interaction({"type": "view_submission", "user": {"id": "U1"}, "view": {"id": "V1"}}),
        answer="",
        differs="Rasa answers with a 500, which Slack shows the user as a failure",
    ),
    *[
        Incoming(
            what,
            command(**fields),
            messages,
            answer="",
            differs="Rasa does not support slash commands",
        )
        for what, fields, messages in cases(
            (
                "a slash command says its text",
                COMMAND,
                [
                    {
                        "id": COMMAND["trigger_id"],
                        "sender_id": "U2147483697",
                        "text": "94070",
                        "metadata": {
                            "out_channel": "C2147483705",
                            "thread_id": None,
                            "users": ["U2147483697"],
                            "command": "/weather",
                        },
                        "route": {"channel": "C2147483705"},
                    }
                ],
            ),
            (
                "a slash command without a text sends itself",
                {**COMMAND, "text": " "},
                [{"text": "/weather"}],
            ),
            ("Slack's check of a certificate says nothing", {"ssl_check": "1", "token": "t"}, []),
        )
    ],
    Incoming(
        "the example in Slack's documentation has the documented signature",
        Post(
            KNOWN.encode(),
            {
                "Content-Type": FORM,
                "X-Slack-Request-Timestamp": str(NOW),
                "X-Slack-Signature": KNOWN_SIGNATURE,
            },
        ),
        [{"text": "/webhook-collect", "sender_id": "U2CERLKJA"}],
        differs="Rasa does not support slash commands",
    ),
    *[
        Incoming(f"a request {what} is refused", signed(as_bytes(message()), JSON, at), status=403)
        for what, at in [("of six minutes ago", NOW - 360), ("from the future", NOW + 360)]
    ],
    *[
        Incoming(f"a request {what} is accepted", signed(as_bytes(message()), JSON, at), [HELLO])
        for what, at in [("of five minutes ago", NOW - 300), ("a little ahead", NOW + 300)]
    ],
    Incoming(
        "a modified body is refused",
        Post(as_bytes(message(text="other")), event(message()).headers),
        status=403,
    ),
    Incoming("GET without a signature is refused", Post(method="GET"), status=403),
    Incoming(
        "GET with a signature is answered as by Rasa",
        Post(b"", signed(b"", JSON).headers, "GET"),
        answer="Bot message delivered.",
        differs="Rasa answers a GET with JSON content type with a 500, and others in this way",
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    *[
        Incoming(f"a form {what} is refused", signed(body, FORM), status=400)
        for what, body in [
            ("without payload and command", b"a=1"),
            ("whose payload is not JSON", b"payload=%7B"),
            ("that is not UTF-8", b"payload=%ff"),
            ("of raw bytes", b"payload=\xc3\xa9"),
            ("of too many fields", b"a=1&" * 2000),
        ]
    ],
]


def posted(**body: Any) -> Sent:
    return Sent(
        "/api/chat.postMessage",
        {"as_user": True, "channel": "D1", **body},
        {"Authorization": f"Bearer {TOKEN}"},
    )


def text(value: str, **body: Any) -> Sent:
    return posted(text=value, type="mrkdwn", **body)


def actions(*buttons: tuple[str, str]) -> dict[str, Any]:
    return {
        "type": "actions",
        "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": title}, "value": payload}
            for title, payload in buttons
        ],
    }


def section(value: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": value}}


ROUTE = {"channel": "D1"}
YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
MANY = [{"title": f"B{n}", "payload": f"/b{n}"} for n in range(30)]

LONG_VALUE = {"title": "Yes", "payload": "a" * 2001}
LONG_URL = f"https://x.org/{'a' * 3000}"

OUTGOING = [
    Outgoing("a text is one call", {"text": "hi", "route": ROUTE}, [text("hi")]),
    Outgoing(
        "a button that sends more than 2000 characters is a line of text",
        {"kind": "buttons", "text": "Sure?", "content": [LONG_VALUE], "route": ROUTE},
        [text("Sure?"), text(f"1: Yes ({'a' * 2001})")],
        differs="Slack refuses it",
    ),
    Outgoing(
        "an image with a URL of more than 3000 characters is a text",
        {"kind": "image", "content": LONG_URL, "route": ROUTE},
        [text(f"Image: {LONG_URL}")],
        differs="Slack refuses it",
    ),
    Outgoing(
        "each paragraph is a call",
        {"text": "one\n\ntwo\nlines\n", "route": ROUTE},
        [text("one"), text("two\nlines")],
    ),
    Outgoing(
        "blank paragraphs are left out",
        {"text": "one\n\n\n\ntwo", "route": ROUTE},
        [text("one"), text("two")],
        differs="Slack refuses a message without a text",
    ),
    Outgoing(
        "a long text is split between words",
        {"text": f"{'a' * 3000} {'b' * 2000}", "route": ROUTE},
        [text("a" * 3000), text("b" * 2000)],
        differs="Slack splits texts of more than 4000 characters anywhere, and truncates at 40,000",
    ),
    Outgoing(
        "a reply is sent to its thread",
        {"text": "hi", "route": {**ROUTE, "thread_ts": "1.2"}},
        [text("hi", thread_ts="1.2")],
    ),
    Outgoing(
        "the answer to an ephemeral message is visible to its user only",
        {"text": "hi", "route": {**ROUTE, "thread_ts": "1.2", "ephemeral": "U1"}},
        [
            Sent(
                "/api/chat.postEphemeral",
                {
                    "channel": ROUTE["channel"],
                    "user": "U1",
                    "text": "hi",
                    "type": "mrkdwn",
                    "thread_ts": "1.2",
                },
            )
        ],
        differs="Rasa shows its answer to everyone",
    ),
    Outgoing(
        "a reply without a route is sent to slack_channel",
        {"text": "hi"},
        [text("hi", channel="COWN")],
    ),
    Outgoing(
        "buttons are placed below their text",
        {"kind": "buttons", "text": "Sure?", "content": [YES, NO], "route": ROUTE},
        [
            posted(
                text="Sure?",
                blocks=[section("Sure?"), actions(("Yes", "/affirm"), ("No", "/deny"))],
            )
        ],
    ),
    Outgoing(
        "a block has at most 25 buttons",
        {"kind": "buttons", "text": "Which?", "content": MANY, "route": ROUTE},
        [
            posted(
                text="Which?",
                blocks=[
                    section("Which?"),
                    actions(*[(f"B{n}", f"/b{n}") for n in range(25)]),
                    actions(*[(f"B{n}", f"/b{n}") for n in range(25, 30)]),
                ],
            )
        ],
        differs="Rasa drops all buttons if there are more than five, a former limit of Slack",
    ),
    Outgoing(
        "a long title is shortened, and a button with a URL is a link",
        {
            "kind": "buttons",
            "text": "Go",
            "content": [
                {"title": "x" * 80, "payload": "/x"},
                {"title": "Site", "type": "web_url", "url": "https://example.com/"},
            ],
            "route": ROUTE,
        },
        [
            posted(
                text="Go",
                blocks=[
                    section("Go"),
                    {
                        "type": "actions",
                        "elements": [
                            actions(("x" * 74 + "…", "/x"))["elements"][0],
                            {
                                "type": "button",
                                "text": {"type": "plain_text", "text": "Site"},
                                "url": "https://example.com/",
                            },
                        ],
                    },
                ],
            )
        ],
        differs="Slack refuses titles of more than 75 characters; Rasa has no link buttons",
    ),
    Outgoing(
        "a text that is too long for a section is sent before it",
        {"kind": "buttons", "text": f"{'a' * 2500} {'b' * 2500}", "content": [YES], "route": ROUTE},
        [
            text("a" * 2500),
            posted(text="b" * 2500, blocks=[section("b" * 2500), actions(("Yes", "/affirm"))]),
        ],
        differs="Slack refuses a section of more than 3000 characters",
    ),
    Outgoing(
        "quick replies become buttons",
        {"kind": "quick_replies", "text": "Sure?", "content": [YES], "route": ROUTE},
        [posted(text="Sure?", blocks=[section("Sure?"), actions(("Yes", "/affirm"))])],
    ),
    Outgoing(
        "an image is a block",
        {"kind": "image", "content": "https://x.org/c.png", "route": ROUTE},
        [
            posted(
                text="https://x.org/c.png",
                blocks=[
                    {
                        "type": "image",
                        "image_url": "https://x.org/c.png",
                        "alt_text": "https://x.org/c.png",
                    }
                ],
            )
        ],
    ),
    Outgoing(
        "an object is a Slack attachment",
        {
            "kind": "attachment",
            "content": {"title": "T", "text": "more"},
            "options": {"unfurl_links": False},
            "route": ROUTE,
        },
        [posted(attachments=[{"title": "T", "text": "more"}], unfurl_links=False)],
    ),
    Outgoing(
        "an attachment that is a URL is a text",
        {"kind": "attachment", "content": "https://x.org/a.pdf", "route": ROUTE},
        [posted(text="Attachment: https://x.org/a.pdf")],
        differs="Slack refuses it as an attachment",
    ),
    Outgoing(
        "each element is a text with buttons",
        {
            "kind": "elements",
            "content": [{"title": "Paris", "subtitle": "France", "buttons": [YES]}],
            "route": ROUTE,
        },
        [
            posted(
                text="Paris : France",
                blocks=[section("Paris : France"), actions(("Yes", "/affirm"))],
            )
        ],
    ),
    Outgoing(
        "an element without buttons is a text",
        {"kind": "elements", "content": [{"title": "Rome"}], "route": ROUTE},
        [text("Rome :")],
        differs="Slack refuses a block without buttons",
    ),
    Outgoing(
        "custom JSON is the body of the call",
        {
            "kind": "custom",
            "content": {"blocks": [{"type": "divider"}], "text": "x", "username": None},
            "route": {**ROUTE, "thread_ts": "1.2"},
        },
        [posted(blocks=[{"type": "divider"}], text="x", thread_ts="1.2")],
    ),
    Outgoing(
        "custom JSON may name another channel",
        {
            "kind": "custom",
            "content": {"channel": "C9", "text": "x", "as_user": False},
            "route": ROUTE,
        },
        [posted(channel="C9", text="x", as_user=False)],
        differs="Rasa intends the same but fails with an exception",
    ),
    *[
        Outgoing(
            f"{kind} {content!r} are rejected",
            {"kind": kind, "text": "x", "content": content, "route": ROUTE},
            error=RejectedDeliveryError,
            differs=differs,
        )
        for kind, content, differs in [
            ("buttons", "no list of more than 5", "Rasa sends the text alone"),
            ("buttons", [1], ""),
            ("elements", {"a": 1}, ""),
            ("custom", ["no object"], ""),
        ]
    ],
]

FAILURES = [
    Failure("429", RetryableDeliveryError, 429, "", {"Retry-After": "30"}, 30.0),
    Failure("500", RetryableDeliveryError, 500, "oops"),
    Failure("a proxy's HTML page", RetryableDeliveryError, 200, "<html>"),
    Failure("JSON that is not an object", RetryableDeliveryError, 200, [1]),
    Failure(
        "ratelimited in a 200",
        RetryableDeliveryError,
        200,
        {"ok": False, "error": "ratelimited"},
        {"Retry-After": "7"},
        7.0,
    ),
    Failure(
        "internal_error", RetryableDeliveryError, 200, {"ok": False, "error": "internal_error"}
    ),
    Failure(
        "a deleted channel",
        RejectedDeliveryError,
        200,
        {"ok": False, "error": "channel_not_found"},
    ),
    Failure("an unknown error", RejectedDeliveryError, 200, {"ok": False, "error": "brand_new"}),
    Failure("a response without an error", RejectedDeliveryError, 200, {"ok": False}),
    Failure("404", RejectedDeliveryError, 404, ""),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
    Failure("invalid_auth", ServiceUnavailable, 200, {"ok": False, "error": "invalid_auth"}),
    Failure("token_revoked", ServiceUnavailable, 200, {"ok": False, "error": "token_revoked"}),
]

TABLE = Table(
    channel="slack",
    credentials=lambda url: {
        "slack_token": TOKEN,
        "slack_signing_secret": SECRET,
        "slack_channel": "COWN",
        "use_threads": True,
        "api_url": f"{url}api",
    },
    accepts={"ok": True, "channel": "D1", "ts": "1503435956.000247"},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[Genuine(message(), event), Genuine(pressed(BUTTON), interaction)],
    signed_by=["X-Slack-Signature", "X-Slack-Request-Timestamp"],
    secrets=[SECRET, TOKEN, "hooks.slack.com"],
    now=NOW,
)
