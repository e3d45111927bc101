"""`telegram`: shapes of core.telegram.org/bots/api (Update, sendMessage, ResponseParameters)."""

from __future__ import annotations

from typing import Any

from bridge.connectors.toolkit.events import digest
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

TOKEN = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
SECRET = "s3cr3t_A-z"
HEADERS = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": SECRET}

ADA = {
    "id": 1111111,
    "is_bot": False,
    "first_name": "Ada",
    "username": "ada",
    "language_code": "en",
}
PRIVATE = {"id": 1111111, "type": "private", "first_name": "Ada", "username": "ada"}
GROUP = {"id": -1001234567890, "type": "supergroup", "title": "Friends"}


def post(value: Any) -> Post:
    return Post(as_bytes(value), HEADERS)


def message(**changes: Any) -> dict[str, Any]:
    value = {
        "message_id": 1365,
        "from": ADA,
        "chat": PRIVATE,
        "date": 1441645532,
        "text": "hello",
        **changes,
    }
    return {key: inner for key, inner in value.items() if inner is not None}


def id_of(text: str, file: str = "", chat: int = 1111111) -> str:
    """Return the id of a message with this text, and with a file of this unique id."""
    return f"123456:{chat}:1365:{digest(*[text, *([file] if file else [])])}"


def update(**changes: Any) -> Post:
    return post({"update_id": 10000, "message": message(**changes)})


ABOUT = {
    "message_id": 1365,
    "chat_type": "private",
    "user_id": 1111111,
    "username": "ada",
    "first_name": "Ada",
    "language_code": "en",
}
QUERY = {
    "id": "4382bfdwdsb323b2d9",
    "from": ADA,
    "message": message(**{"from": {"id": 123456, "is_bot": True, "first_name": "Bot"}}),
    "chat_instance": "1",
    "data": "/affirm",
}
SMALL = {"file_id": "small", "file_unique_id": "1", "width": 90, "height": 90}
LARGE = {"file_id": "large", "file_unique_id": "2", "width": 900, "height": 900}
WHERE = {"longitude": 9.2, "latitude": 45.1}
LIVE = {"longitude": 9.2, "latitude": 45.1, "live_period": 900}
APP = {"data": '{"size": "L"}', "button_text": "Order"}
BREAKS = "Rasa answers with a 500, and Telegram sends the update again and again"

INCOMING = [
    Incoming(
        "a text is one message",
        update(),
        [
            {
                "id": id_of("hello"),
                "sender_id": "1111111",
                "text": "hello",
                "input_channel": "telegram",
                "output_channel": "telegram",
                "metadata": ABOUT,
                "route": {},
            }
        ],
        answer="success",
    ),
    Incoming(
        "an edited message is a new message",
        post({"update_id": 7, "edited_message": message(text="hallo", edit_date=1441645535)}),
        [{"id": id_of("hallo"), "text": "hallo"}],
    ),
    Incoming(
        "a button sends its data and stops its progress animation",
        post({"update_id": 8, "callback_query": QUERY}),
        [{"id": "123456:8", "sender_id": "1111111", "text": "/affirm", "metadata": ABOUT}],
        answer={"method": "answerCallbackQuery", "callback_query_id": "4382bfdwdsb323b2d9"},
    ),
    Incoming(
        "a location is Rasa's JSON",
        update(text=None, location={"longitude": 2.35, "latitude": 48.85}),
        [{"text": '{"lng":2.35, "lat":48.85}'}],
    ),
    Incoming(
        "a location of whole degrees",
        update(text=None, location={"longitude": -7, "latitude": 48.5}),
        [{"text": '{"lng":-7, "lat":48.5}'}],
    ),
    Incoming(
        "a group is a conversation",
        update(chat=GROUP),
        [{"sender_id": "-1001234567890", "metadata": {**ABOUT, "chat_type": "supergroup"}}],
    ),
    Incoming(
        "the command that addresses a bot is removed",
        update(text="/bot hello"),
        [{"text": "hello"}],
    ),
    Incoming(
        "a part of another word is not removed",
        update(text="/bottle or a/bot"),
        [{"text": "/bottle or a/bot"}],
        differs="Rasa removes /bot anywhere in the text",
    ),
    *[
        Incoming(
            f"in a group, {said!r} becomes {heard!r}",
            update(chat=GROUP, text=said),
            [{"text": heard}],
            differs="Rasa keeps the bot's name, and reads that of a command as a confidence",
        )
        for said, heard in [
            ("/start@OurBot", "/start"),
            ("@ourbot hello", "hello"),
            ("hello @ourbot", "hello"),
        ]
    ],
    Incoming(
        "the name of another bot stays",
        update(chat=GROUP, text="ask @ourbot2"),
        [{"text": "ask @ourbot2"}],
    ),
    Incoming(
        "/restart is two messages, as in Rasa",
        update(text="/restart"),
        [
            {"id": id_of("/restart"), "text": "/restart"},
            {"id": f"{id_of('/restart')}.1", "text": "/start"},
        ],
    ),
    Incoming(
        "the text of a photo is its caption",
        update(text=None, caption="my cat", photo=[SMALL, LARGE]),
        [{"text": "my cat", "metadata": {**ABOUT, "photo": "large"}}],
        differs="Rasa ignores photos",
    ),
    Incoming(
        "the text of a document is its caption",
        update(text=None, caption="my cv", document={"file_id": "doc", "file_name": "cv.pdf"}),
        [{"text": "my cv", "metadata": {**ABOUT, "document": "doc"}}],
        differs="Rasa ignores documents",
    ),
    Incoming(
        "a photo without a caption says its id",
        update(text=None, photo=[SMALL, LARGE]),
        [{"id": id_of("large", "2"), "text": "large", "metadata": {**ABOUT, "photo": "large"}}],
        answer="success",
        differs="Rasa ignores photos",
    ),
    Incoming(
        "a sticker says its emoji",
        update(text=None, sticker={"file_id": "s", "emoji": "👍"}),
        [{"text": "👍", "metadata": {**ABOUT, "sticker": "s"}}],
        differs="Rasa ignores stickers",
    ),
    Incoming(
        "an edit that changes nothing is the same message",
        post({"update_id": 7, "edited_message": message(edit_date=1441645535)}),
        [{"id": id_of("hello"), "text": "hello"}],
    ),
    Incoming(
        "a live location that moves is ignored",
        post({"update_id": 7, "edited_message": message(text=None, location=LIVE)}),
        answer="success",
        differs="Rasa runs a turn for each movement",
    ),
    Incoming(
        "a contact says its number",
        update(text=None, contact={"phone_number": "+15550100", "first_name": "Bob"}),
        [
            {
                "text": "+15550100",
                "metadata": {
                    **ABOUT,
                    "contact": {"phone_number": "+15550100", "first_name": "Bob"},
                },
            }
        ],
        differs="Rasa ignores contacts",
    ),
    Incoming(
        "a venue is a location with a name",
        update(text=None, location=WHERE, venue={"location": WHERE, "title": "Here"}),
        [
            {
                "text": '{"lng":9.2, "lat":45.1}',
                "metadata": {**ABOUT, "location": WHERE, "venue": {"title": "Here"}},
            }
        ],
    ),
    Incoming(
        "a photo of an album, in reply to a message",
        update(caption="cats", text=None, media_group_id="7", reply_to_message={"message_id": 5}),
        [{"metadata": {**ABOUT, "media_group_id": "7", "reply_to": 5}}],
        differs="Rasa ignores photos",
    ),
    Incoming(
        "a web app says its data",
        update(text=None, web_app_data=APP),
        [{"text": '{"size": "L"}', "metadata": {**ABOUT, "web_app_data": APP}}],
        differs="Rasa ignores web apps",
    ),
    Incoming(
        "a mention alone is ignored",
        update(chat=GROUP, text="@OurBot"),
        answer="success",
        differs="Rasa runs a turn with the name",
    ),
    Incoming(
        "a message in a forum's topic is answered there",
        update(chat=GROUP, message_thread_id=42, is_topic_message=True),
        [
            {
                "metadata": {**ABOUT, "chat_type": "supergroup", "message_thread_id": 42},
                "route": {"message_thread_id": 42},
            }
        ],
    ),
    *[
        Incoming(
            f"a reply must not name {what}",
            update(chat=GROUP, message_thread_id=thread, is_topic_message=topic),
            [{"metadata": {**ABOUT, "chat_type": "supergroup"}, "route": {}}],
        )
        for what, thread, topic in [
            ("a chain of replies", 42, None),
            ("the topic General", 1, True),
        ]
    ],
    Incoming(
        "a button in a topic is answered there",
        post(
            {
                "update_id": 8,
                "callback_query": {
                    **QUERY,
                    "message": message(message_thread_id=42, is_topic_message=True),
                },
            }
        ),
        [{"text": "/affirm", "route": {"message_thread_id": 42}}],
    ),
    *[
        Incoming(what, post({"update_id": 9, **body}), answer=answer, differs=BREAKS)
        for what, body, answer in [
            ("a post in a channel is ignored", {"channel_post": message()}, "success"),
            ("a poll is ignored", {"poll": {"id": "1"}}, "success"),
            (
                "a button without its message only stops to wait",
                {"callback_query": {**QUERY, "message": None}},
                {"method": "answerCallbackQuery", "callback_query_id": "4382bfdwdsb323b2d9"},
            ),
        ]
    ],
    Incoming(
        "a body without update_id is refused",
        post({"message": message()}),
        status=400,
        differs=BREAKS,
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]


def call(method: str, **body: Any) -> Sent:
    return Sent(f"/bot{TOKEN}/{method}", {"chat_id": "1111111", **body})


def text(value: str, **body: Any) -> Sent:
    return call("sendMessage", text=value, **body)


def inline(*rows: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "inline_keyboard": [
            [{"text": title, "callback_data": payload} for title, payload in row] for row in rows
        ]
    }


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": "1111111", **fields}


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
BOTH = {"kind": "buttons", "text": "Sure?", "content": [YES, NO]}
MANY = [{"title": f"B{n}", "payload": f"/b{n}"} for n in range(10)]


def custom(says: str, content: dict[str, Any], method: str, **kwargs: Any) -> Outgoing:
    return Outgoing(
        says, reply(kind="custom", content=content), [call(method, **content)], **kwargs
    )


OUTGOING = [
    Outgoing("a text is one call", reply(text="hi"), [text("hi")]),
    Outgoing("each paragraph is a call", reply(text="one\n\ntwo\n"), [text("one"), text("two")]),
    Outgoing(
        "blank paragraphs are left out",
        reply(text="one\n\n\n\ntwo"),
        [text("one"), text("two")],
        differs="Telegram refuses an empty text",
    ),
    Outgoing(
        "a long text is split between words",
        reply(text=f"{'a' * 4000} {'b' * 200}"),
        [text("a" * 4000), text("b" * 200)],
        differs="Telegram refuses more than 4096 characters",
    ),
    Outgoing(
        "an emoji counts twice and is not split",
        reply(text="🦊" * 2049),
        [text("🦊" * 2048), text("🦊")],
        differs="Telegram refuses more than 4096 UTF-16 code units",
    ),
    Outgoing(
        "buttons are placed side by side",
        reply(**BOTH),
        [text("Sure?", reply_markup=inline([("Yes", "/affirm"), ("No", "/deny")]))],
    ),
    Outgoing(
        "a row has at most eight buttons",
        reply(kind="buttons", text="Which?", content=MANY),
        [
            text(
                "Which?",
                reply_markup=inline(
                    [(f"B{n}", f"/b{n}") for n in range(8)], [("B8", "/b8"), ("B9", "/b9")]
                ),
            )
        ],
        differs="Telegram accepts eight buttons in a row",
    ),
    Outgoing(
        "vertical buttons are placed one below the other",
        reply(**BOTH, options={"button_type": "vertical"}),
        [text("Sure?", reply_markup=inline([("Yes", "/affirm")], [("No", "/deny")]))],
    ),
    Outgoing(
        "the buttons of a reply keyboard are placed one below the other",
        reply(**BOTH, options={"button_type": "reply"}),
        [
            text(
                "Sure?",
                reply_markup={
                    "keyboard": [[{"text": "Yes"}], [{"text": "No"}]],
                    "resize_keyboard": False,
                    "one_time_keyboard": True,
                },
            )
        ],
    ),
    Outgoing(
        "a list in a reply keyboard is a row",
        reply(kind="buttons", text="Sure?", content=[[YES, NO]], options={"button_type": "reply"}),
        [
            text(
                "Sure?",
                reply_markup={
                    "keyboard": [[{"text": "Yes"}, {"text": "No"}]],
                    "resize_keyboard": False,
                    "one_time_keyboard": True,
                },
            )
        ],
        differs="Rasa intends the same but fails with an exception",
    ),
    Outgoing(
        "a button with a URL is a link",
        reply(kind="buttons", text="Go", content=[{"title": "Site", "url": "https://x.org/"}]),
        [
            text(
                "Go",
                reply_markup={"inline_keyboard": [[{"text": "Site", "url": "https://x.org/"}]]},
            )
        ],
        differs="Rasa does not support link buttons",
    ),
    Outgoing(
        "another kind of keyboard is rejected",
        reply(**BOTH, options={"button_type": "round"}),
        error=RejectedDeliveryError,
        differs="Rasa logs it and continues",
    ),
    Outgoing(
        "quick replies become buttons",
        reply(kind="quick_replies", text="Sure?", content=[YES]),
        [text("Sure?", reply_markup=inline([("Yes", "/affirm")]))],
    ),
    Outgoing(
        "an image is a photo",
        reply(kind="image", content="https://x.org/c.png"),
        [call("sendPhoto", photo="https://x.org/c.png")],
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
            text("Paris : France", reply_markup=inline([("Yes", "/affirm")])),
            text("Rome : Italy", reply_markup=inline([("No", "/deny")])),
        ],
    ),
    Outgoing(
        "an element without buttons is a text",
        reply(kind="elements", content=[{"title": "Paris", "subtitle": "France"}]),
        [text("Paris : France")],
        differs="Rasa adds an empty keyboard",
    ),
    Outgoing(
        "a reply in a forum's topic",
        reply(text="hi", route={"message_thread_id": 42}),
        [text("hi", message_thread_id=42)],
        differs="Rasa answers in the topic General",
    ),
    Outgoing(
        "a reply to another chat has no topic",
        reply(
            kind="custom",
            content={"chat_id": "@news", "text": "hi"},
            route={"message_thread_id": 42},
        ),
        [text("hi", chat_id="@news")],
    ),
    Outgoing(
        "a button that sends more than 64 bytes is a line of text",
        reply(kind="buttons", text="Sure?", content=[{"title": "Yes", "payload": "é" * 33}, NO]),
        [text("Sure?"), text(f"1: Yes ({'é' * 33})"), text("2: No (/deny)")],
        differs="Telegram refuses it",
    ),
    Outgoing(
        "buttons without a text are lines of text",
        reply(kind="buttons", text="", content=[YES]),
        [text("1: Yes (/affirm)")],
        differs="Telegram refuses an empty text",
    ),
    custom("custom JSON with a text", {"text": "*hi*", "parse_mode": "Markdown"}, "sendMessage"),
    custom("… a photo", {"photo": "https://x.org/c.png", "caption": "cat"}, "sendPhoto"),
    custom("… an audio", {"audio": "https://x.org/a.mp3"}, "sendAudio"),
    custom("… a document", {"document": "https://x.org/a.pdf"}, "sendDocument"),
    custom("… a sticker", {"sticker": "CAADAgADOQ"}, "sendSticker"),
    custom("… a video", {"video": "https://x.org/v.mp4"}, "sendVideo"),
    custom("… a video note", {"video_note": "DQACAgI"}, "sendVideoNote"),
    custom("… an animation", {"animation": "https://x.org/a.gif"}, "sendAnimation"),
    custom("… a voice", {"voice": "https://x.org/v.ogg"}, "sendVoice"),
    custom(
        "… an album",
        {"media": [{"type": "photo", "media": f"https://x.org/{n}.png"} for n in (1, 2)]},
        "sendMediaGroup",
    ),
    custom(
        "… a venue",
        {"latitude": 48.85, "longitude": 2.35, "title": "Here", "address": "Rue 1"},
        "sendVenue",
    ),
    custom("… a location", {"latitude": 48.85, "longitude": 2.35}, "sendLocation"),
    custom("… a contact", {"phone_number": "+15550100", "first_name": "Ada"}, "sendContact"),
    custom("… a game", {"game_short_name": "chess"}, "sendGame"),
    custom("… an action", {"action": "typing"}, "sendChatAction"),
    custom(
        "… a poll",
        {"question": "Tea?", "options": ["yes", "no"]},
        "sendPoll",
        differs="Rasa sends nothing",
    ),
    custom(
        "… an invoice",
        {
            "title": "Tea",
            "description": "Green",
            "payload": "t1",
            "provider_token": "p",
            "currency": "EUR",
            "prices": [{"label": "Tea", "amount": 250}],
        },
        "sendInvoice",
        differs="Rasa has a typing error ('decription') and sends nothing",
    ),
    Outgoing(
        "custom JSON may name another chat",
        reply(kind="custom", content={"chat_id": "@news", "text": "hi"}),
        [text("hi", chat_id="@news")],
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
            differs=differs,
        )
        for kind, content, differs in [
            ("buttons", "no list", ""),
            ("elements", [1], ""),
            ("custom", [], ""),
            ("custom", {"unknown": 1}, "Rasa sends nothing and says nothing"),
        ]
    ],
]


def refusal(status: int, description: str, **parameters: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return {**body, "parameters": parameters} if parameters else body


FAILURES = [
    Failure(
        "429 with retry_after",
        RetryableDeliveryError,
        429,
        refusal(429, "Too Many Requests: retry after 35", retry_after=35),
        retry_after=35.0,
    ),
    Failure("429 with Retry-After", RetryableDeliveryError, 429, "", {"Retry-After": "9"}, 9.0),
    Failure("500", RetryableDeliveryError, 500, refusal(500, "Internal Server Error")),
    Failure("a proxy's 502", RetryableDeliveryError, 502, "<html>"),
    Failure("a proxy's HTML page", RetryableDeliveryError, 200, "<html>"),
    Failure(
        "a user who blocked the bot",
        RejectedDeliveryError,
        403,
        refusal(403, "Forbidden: bot was blocked by the user"),
    ),
    Failure(
        "a deleted chat",
        RejectedDeliveryError,
        400,
        refusal(400, "Bad Request: chat not found"),
    ),
    Failure(
        "a group that became a supergroup without an id",
        RejectedDeliveryError,
        400,
        refusal(400, "Bad Request: group chat was upgraded to a supergroup chat"),
    ),
    Failure(
        "an error that quotes the text",
        RejectedDeliveryError,
        400,
        refusal(400, 'Bad Request: can\'t parse entities: Unsupported start tag "my secret"'),
        unquoted="my secret",
    ),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
    Failure("a wrong token", ServiceUnavailable, 401, refusal(401, "Unauthorized")),
    Failure("a malformed token", ServiceUnavailable, 404, refusal(404, "Not Found")),
]

TABLE = Table(
    channel="telegram",
    credentials=lambda url: {
        "access_token": TOKEN,
        "verify": "OurBot",
        "secret_token": SECRET,
        "api_url": url,
    },
    accepts={"ok": True, "result": {"message_id": 1}},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine({"update_id": 10000, "message": message()}, post),
        Genuine({"update_id": 8, "callback_query": QUERY}, post),
        Genuine(
            {
                "update_id": 9,
                "edited_message": message(caption="my cat", text=None, photo=[SMALL, LARGE]),
            },
            post,
        ),
        Genuine(
            {
                "update_id": 9,
                "message": message(text=None, location=LIVE, venue={"title": "Here"}),
            },
            post,
        ),
    ],
    signed_by=["X-Telegram-Bot-Api-Secret-Token"],
    secrets=[SECRET, TOKEN],
)
