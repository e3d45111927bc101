"""`mattermost`: shapes of developers.mattermost.com (outgoing webhooks, interactive messages, slash
commands, POST /posts), completed by the server's source."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

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
)
from tests.support.service import Call

BOT_TOKEN = "qr4fjg3zo3bg5yq8g7wkxdjzsa"
SECRET = "xmxkp4hfxfbezqafyjqfxcjg5o"
WEBHOOK = "https://bot.example/webhooks/mattermost/webhook"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CHANNEL = "hawos4dqtby53pd64o4a4cmeoo"
USER = "rnina9994bde8mua79zqcg5hmo"
BOT_USER = "bot9994bde8mua79zqcg5hmobb"
UNCHECKED = "Rasa does not check signatures"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def signature(action: str) -> str:
    return hmac.new(SECRET.encode(), action.encode(), hashlib.sha256).hexdigest()


def hook(**changes: Any) -> dict[str, Any]:
    """Return the body of an outgoing webhook; None removes a key."""
    value = {
        "token": SECRET,
        "team_id": "9kjq7o8z4pgcpmubn1n3fnbkba",
        "team_domain": "teamname",
        "channel_id": CHANNEL,
        "channel_name": "town-square",
        "timestamp": 1445532266000,
        "user_id": USER,
        "user_name": "ada",
        "post_id": "1zn5tqcg5jbxzpnt8f9dtmyywc",
        "text": "@rasa hello there",
        "trigger_word": "@rasa",
        "file_ids": "",
        **changes,
    }
    return {key: inner for key, inner in value.items() if inner is not None}


def pressed(action: str = "/affirm", **changes: Any) -> dict[str, Any]:
    """Return the body for a pressed button; None removes a key."""
    value = {
        "user_id": USER,
        "user_name": "ada",
        "channel_id": CHANNEL,
        "channel_name": "town-square",
        "team_id": "9kjq7o8z4pgcpmubn1n3fnbkba",
        "team_domain": "teamname",
        "post_id": "gqrnh3675jfxzftnjyjfe4udeh",
        "trigger_id": "NXJlZ2h1MXB4anI0OmE6MTU0Mjg",
        "type": "",
        "data_source": "",
        "context": {"action": action, "token": signature(action)},
        **changes,
    }
    return {key: inner for key, inner in value.items() if inner is not None}


def post(value: Any) -> Post:
    return Post(as_bytes(value), {"Content-Type": JSON})


def form(**fields: str) -> Post:
    return Post(urlencode(fields).encode(), {"Content-Type": FORM})


def command(**changes: str) -> Post:
    return form(
        **{
            "token": SECRET,
            "team_id": "9kjq7o8z4pgcpmubn1n3fnbkba",
            "team_domain": "teamname",
            "channel_id": CHANNEL,
            "channel_name": "town-square",
            "user_id": USER,
            "user_name": "ada",
            "command": "/ask",
            "text": "what is the weather",
            "trigger_id": "NXJlZ2h1MXB4anI0OmE6MTU0Mjg",
            "root_id": "",
            "response_url": "https://chat.example/hooks/commands/gr6s17kmyjrm78ohq3g1pd8y1e",
            **changes,
        }
    )


ABOUT = {
    "channel_id": CHANNEL,
    "channel_name": "town-square",
    "team_domain": "teamname",
    "user_name": "ada",
}
NO_FORMS = "Rasa reads only JSON"

INCOMING = [
    Incoming(
        "an outgoing webhook is one message, without the trigger word",
        post(hook()),
        [
            {
                "id": "1zn5tqcg5jbxzpnt8f9dtmyywc",
                "sender_id": USER,
                "text": "hello there",
                "input_channel": "mattermost",
                "output_channel": "mattermost",
                "metadata": {**ABOUT, "post_id": "1zn5tqcg5jbxzpnt8f9dtmyywc"},
                "route": {"channel_id": CHANNEL},
            }
        ],
        answer={},
    ),
    Incoming("a trigger word alone is the text", post(hook(text="@rasa")), [{"text": "@rasa"}]),
    Incoming(
        "a trigger word at the end of a line is removed",
        post(hook(text="@rasa\nhello\nthere")),
        [{"text": "hello\nthere"}],
        differs="Rasa splits at spaces only",
    ),
    Incoming(
        "without a trigger word, the first word stays",
        post(hook(text="hello there", trigger_word="")),
        [{"text": "hello there"}],
        differs="Rasa removes the first word of every text",
    ),
    *[
        Incoming(
            f"without a trigger word, {text!r} is {said!r}",
            post(hook(text=text, trigger_word="")),
            [{"text": said}] if said else [],
            answer={},
            differs="Rasa removes the first word of every text",
        )
        for text, said in [
            ("@rasa hello", "hello"),
            ("hello @Rasa", "hello"),
            ("hello @rasa.two", "hello @rasa.two"),
            ("@rasa", ""),
        ]
    ],
    Incoming(
        "the bot's own post is ignored",
        post(hook(text="hello there", trigger_word="", user_id=BOT_USER)),
        answer={},
        differs="Rasa answers itself, endlessly",
    ),
    Incoming(
        "files without a text say the id of the first",
        post(hook(text="", trigger_word="", file_ids="znana1194bfkmbeaonnpnnyzxc,f2")),
        [
            {
                "text": "znana1194bfkmbeaonnpnnyzxc",
                "metadata": {
                    **ABOUT,
                    "post_id": "1zn5tqcg5jbxzpnt8f9dtmyywc",
                    "file_ids": "znana1194bfkmbeaonnpnnyzxc,f2",
                },
            }
        ],
        differs="Rasa treats them as an empty text",
    ),
    Incoming(
        "files with a text are in the metadata",
        post(hook(file_ids="znana1194bfkmbeaonnpnnyzxc")),
        [
            {
                "metadata": {
                    **ABOUT,
                    "post_id": "1zn5tqcg5jbxzpnt8f9dtmyywc",
                    "file_ids": "znana1194bfkmbeaonnpnnyzxc",
                }
            }
        ],
    ),
    Incoming(
        "a webhook may post a form",
        form(**{key: str(value) for key, value in hook().items()}),
        [{"id": "1zn5tqcg5jbxzpnt8f9dtmyywc", "sender_id": USER, "text": "hello there"}],
        differs=NO_FORMS,
    ),
    Incoming(
        "a button sends its action",
        post(pressed()),
        [
            {
                "id": sha("NXJlZ2h1MXB4anI0OmE6MTU0Mjg"),
                "sender_id": USER,
                "text": "/affirm",
                "metadata": {**ABOUT, "post_id": "gqrnh3675jfxzftnjyjfe4udeh"},
                "route": {"channel_id": CHANNEL},
            }
        ],
        answer={},
    ),
    Incoming(
        "a menu without an action sends the selected option",
        post(pressed("", context={"selected_option": "red", "token": signature("")})),
        [{"text": "red"}],
        differs="Rasa fails, and the user sees an error",
    ),
    Incoming(
        "a menu with an action sends it, with the selected option as metadata",
        post(
            pressed(
                context={
                    "action": "/pick",
                    "selected_option": "red",
                    "token": signature("/pick"),
                }
            )
        ),
        [
            {
                "text": "/pick",
                "metadata": {
                    **ABOUT,
                    "post_id": "gqrnh3675jfxzftnjyjfe4udeh",
                    "selected_option": "red",
                },
            }
        ],
    ),
    Incoming(
        "a slash command sends its text",
        command(),
        [
            {
                "id": sha("NXJlZ2h1MXB4anI0OmE6MTU0Mjg"),
                "sender_id": USER,
                "text": "what is the weather",
                "metadata": {**ABOUT, "command": "/ask"},
                "route": {"channel_id": CHANNEL},
            }
        ],
        answer={},
        differs=NO_FORMS,
    ),
    Incoming(
        "a slash command without a text sends itself",
        command(text=" ", command="/restart"),
        [{"text": "/restart"}],
        differs=NO_FORMS,
    ),
    Incoming(
        "a slash command in a thread is answered in the thread",
        command(root_id="ubn1n3fnbkba9kjq7o8z4pgcpm"),
        [{"route": {"channel_id": CHANNEL, "root_id": "ubn1n3fnbkba9kjq7o8z4pgcpm"}}],
        differs=NO_FORMS,
    ),
    *[
        Incoming(
            f"{what} is refused",
            request,
            status=403,
            # Rasa does not accept forms.
            differs=UNCHECKED if request.headers["Content-Type"] == JSON else "",
        )
        for what, request in [
            ("another token", post(hook(token="ymxkp4hfxfbezqafyjqfxcjg5o"))),
            ("no token", post(hook(token=None))),
            ("an empty token", post(hook(token=""))),
            ("a non-ASCII token", post(hook(token="é"))),
            ("half a token", post(hook(token=SECRET[:13]))),
            ("a slash command's wrong token", command(token="wrong")),
            ("a button without a signature", post(pressed(context={"action": "/affirm"}))),
            (
                "a button with another's signature",
                post(pressed(context={"action": "/deny", "token": signature("/affirm")})),
            ),
            (
                "a button with the token itself",
                post(pressed(context={"action": "/deny", "token": SECRET})),
            ),
            (
                "a webhook that claims to be a button",
                post(hook(token=None, context={"action": "", "token": signature("")})),
            ),
        ]
    ],
    *[
        Incoming(
            f"{what}, with two tokens",
            request,
            [{"sender_id": USER}],
            settings={"outgoing_webhook_token": ["another", SECRET]},
            differs=differs,
        )
        for what, request, differs in [
            ("a webhook", post(hook()), ""),
            ("a button", post(pressed()), ""),
            ("a command", command(), NO_FORMS),
        ]
    ],
    *[
        Incoming(
            f"{what}, if no token is configured",
            request,
            [{"sender_id": USER}],
            settings={"outgoing_webhook_token": None},
        )
        for what, request in [
            ("a webhook", post(hook(token="any"))),
            ("a button", post(pressed(context={"action": "/affirm"}))),
        ]
    ],
    Incoming("a webhook without a user is refused", post(hook(user_id=None)), status=400),
    Incoming("other requests are ignored", post({"token": SECRET, "a": 1}), answer={}),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]


def sent(**body: Any) -> Sent:
    headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
    return Sent("/api/v4/posts", {"channel_id": CHANNEL, **body}, headers)


def text(value: str) -> Sent:
    return sent(message=value)


def buttons(message: str, *actions: tuple[str, str], signed: bool = True) -> Sent:
    return sent(
        message=message,
        props={
            "attachments": [
                {
                    "actions": [
                        {
                            "name": name,
                            "integration": {"url": WEBHOOK, "context": context(action, signed)},
                        }
                        for name, action in actions
                    ]
                }
            ]
        },
    )


def context(action: str, signed: bool = True) -> dict[str, str]:
    return {"action": action, **({"token": signature(action)} if signed else {})}


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": USER, "route": {"channel_id": CHANNEL}, **fields}


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
LINK = {"title": "Site", "url": "https://x.org/"}
BOTH = {"kind": "buttons", "text": "Sure?", "content": [YES, NO]}
UNSIGNED: dict[str, Any] = {"outgoing_webhook_token": None}
SIGNED = "Mattermost does not sign requests: anyone can forge a press of Rasa's button"
MENU = {"name": "Pick", "type": "select", "data_source": "users"}


def menu(url: str, **context: Any) -> dict[str, Any]:
    integration = {"url": url, "context": context}
    return {"props": {"attachments": [{"actions": [{**MENU, "integration": integration}]}]}}


OUTGOING = [
    Outgoing("a text is one post", reply(text="hi"), [text("hi")]),
    Outgoing("each paragraph is a post", reply(text="one\n\ntwo\n"), [text("one"), text("two")]),
    Outgoing(
        "blank paragraphs are left out",
        reply(text="one\n\n\n\ntwo"),
        [text("one"), text("two")],
        differs="Mattermost refuses an empty post",
    ),
    Outgoing(
        "a long text is split between words",
        reply(text=f"{'a' * 16000} {'b' * 400}"),
        [text("a" * 16000), text("b" * 400)],
        differs="Mattermost refuses more than 16,383 characters",
    ),
    Outgoing(
        "a reply in a thread",
        reply(text="hi", route={"channel_id": CHANNEL, "root_id": "r1"}),
        [sent(message="hi", root_id="r1")],
        differs="Rasa does not support threads",
    ),
    Outgoing(
        "buttons are signed",
        reply(**BOTH),
        [buttons("Sure?", ("Yes", "/affirm"), ("No", "/deny"))],
        differs=SIGNED,
    ),
    Outgoing(
        "without a token, buttons are not signed",
        reply(**BOTH),
        [buttons("Sure?", ("Yes", "/affirm"), ("No", "/deny"), signed=False)],
        settings=UNSIGNED,
    ),
    Outgoing(
        "a link button is a link in the text",
        reply(kind="buttons", text="Go", content=[LINK, YES]),
        [buttons("Go\n[Site](https://x.org/)", ("Yes", "/affirm"))],
        differs="Rasa does not support links",
    ),
    Outgoing(
        "link buttons alone are a text",
        reply(kind="buttons", text="Go", content=[LINK]),
        [text("Go\n[Site](https://x.org/)")],
        differs="Rasa does not support links",
    ),
    Outgoing(
        "without a webhook_url, buttons are text",
        reply(**BOTH),
        [text("Sure?"), text("1: Yes (/affirm)"), text("2: No (/deny)")],
        settings={"webhook_url": None},
        differs="Rasa sends buttons without effect",
    ),
    Outgoing(
        "quick replies become buttons",
        reply(kind="quick_replies", text="Sure?", content=[YES]),
        [buttons("Sure?", ("Yes", "/affirm"), signed=False)],
        settings=UNSIGNED,
    ),
    Outgoing(
        "an image is an attachment",
        reply(kind="image", content="https://x.org/c.png"),
        [sent(props={"attachments": [{"image_url": "https://x.org/c.png"}]})],
    ),
    Outgoing(
        "an attachment is a text",
        reply(kind="attachment", content="https://x.org/a.pdf"),
        [text("Attachment: https://x.org/a.pdf")],
    ),
    Outgoing(
        "each element is a text with buttons",
        reply(
            kind="elements",
            content=[
                {"title": "Paris", "subtitle": "France", "buttons": [YES]},
                {"title": "Rome", "subtitle": "Italy", "buttons": [NO]},
            ],
        ),
        [
            buttons("Paris : France", ("Yes", "/affirm"), signed=False),
            buttons("Rome : Italy", ("No", "/deny"), signed=False),
        ],
        settings=UNSIGNED,
    ),
    Outgoing(
        "an element without buttons is a text",
        reply(kind="elements", content=[{"title": "Paris", "subtitle": "France"}]),
        [text("Paris : France")],
        differs="Rasa adds an empty list of buttons",
    ),
    Outgoing(
        "custom JSON is a post",
        reply(kind="custom", content={"props": {"card": "# more"}}),
        [sent(message="", props={"card": "# more"})],
    ),
    Outgoing(
        "custom JSON may name another channel",
        reply(kind="custom", content={"channel_id": "c2", "message": "hi"}, route={}),
        [sent(message="hi", channel_id="c2")],
    ),
    Outgoing(
        "menus of custom JSON are signed",
        reply(kind="custom", content=menu(WEBHOOK, action="/pick")),
        [sent(message="", **menu(WEBHOOK, action="/pick", token=signature("/pick")))],
        differs=SIGNED,
    ),
    Outgoing(
        "menus for another URL are not signed",
        reply(kind="custom", content=menu("https://other.example/", action="/pick")),
        [sent(message="", **menu("https://other.example/", action="/pick"))],
    ),
    Outgoing(
        "without a channel, nothing can be sent",
        reply(text="hi", route={}),
        error=RejectedDeliveryError,
        differs="Rasa sends it without a channel",
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
        )
        for kind, content in [("buttons", "no list"), ("elements", [1]), ("custom", [])]
    ],
]


def refusal(status: int, id: str) -> dict[str, Any]:
    return {"id": id, "message": "what I said", "request_id": "x", "status_code": status}


FAILURES = [
    Failure("429 with Retry-After", RetryableDeliveryError, 429, "", {"Retry-After": "9"}, 9.0),
    Failure("500", RetryableDeliveryError, 500, refusal(500, "app.post.save.app_error")),
    Failure("a proxy's 502", RetryableDeliveryError, 502, "<html>"),
    Failure(
        "a channel without the bot",
        RejectedDeliveryError,
        403,
        refusal(403, "api.context.permissions.app_error"),
        unquoted="what I said",
    ),
    Failure(
        "a deleted thread",
        RejectedDeliveryError,
        400,
        refusal(400, "api.post.create_post.root_id.app_error"),
        unquoted="what I said",
    ),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
    Failure(
        "a wrong token",
        ServiceUnavailable,
        401,
        refusal(401, "api.context.session_expired.app_error"),
    ),
]


def asked(call: Call) -> web.Response:
    if call.path != "/api/v4/users/me" or call.headers["Authorization"] != f"Bearer {BOT_TOKEN}":
        return web.json_response({}, status=404)
    return web.json_response({"id": BOT_USER, "username": "rasa", "is_bot": True})


TABLE = Table(
    channel="mattermost",
    credentials=lambda url: {
        "url": f"{url.rstrip('/')}/api/v4",
        "token": BOT_TOKEN,
        "webhook_url": WEBHOOK,
        "outgoing_webhook_token": SECRET,
    },
    accepts={"id": "post1", "message": ""},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(hook(), post),
        Genuine(hook(text="hello", trigger_word=""), post),
        Genuine(pressed(), post),
    ],
    secrets=[SECRET, BOT_TOKEN],
    asked=asked,
)
