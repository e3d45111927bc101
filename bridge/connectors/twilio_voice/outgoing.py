"""Answers a request of a phone call with TwiML: says the replies, and listens.

TwiML: https://www.twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from twilio.twiml.voice_response import Gather, VoiceResponse

from bridge.connectors.toolkit.replies import buttons_of, elements_as_buttons, parts, split_text
from bridge.http.responses import text_response
from bridge.messages import Reply

if TYPE_CHECKING:
    from sanic.response import HTTPResponse

SAY = 3000
"""Characters of one `Say`; Amazon's voices accept no more."""
COOKIE = "said"
"""Holds the last reply of a call, to repeat it; Twilio returns it to every webhook process."""
MAX_COOKIE = 4000
"""Bytes of a cookie that every client stores."""


@dataclass(frozen=True)
class Voice:
    """How Twilio speaks and listens: attributes of `Say` and `Gather`, as Twilio writes them."""

    name: str
    speech_timeout: str
    """Whole seconds, or 'auto'."""
    speech_model: str
    enhanced: str
    """'true' or 'false'."""


def respond(
    texts: Sequence[str],
    voice: Voice,
    channel: str,
    call: str | None = None,
    last: str = "",
) -> HTTPResponse:
    """Return TwiML that says the texts with pauses, and listens during the last one.

    A non-empty `last` is stored as the last reply of `call`.
    """
    response = VoiceResponse()
    for text in texts[:-1]:
        response.say(text, voice=voice.name)
        response.pause(length=1)
    for text in texts[-1:]:
        gather = Gather(
            input="speech",
            action=f"/webhooks/{channel}/webhook",
            actionOnEmptyResult=True,
            speechTimeout=voice.speech_timeout,
            speechModel=voice.speech_model,
            enhanced=voice.enhanced,
        )
        gather.say(text, voice=voice.name)
        response.append(gather)
    headers = _cookie(channel, call, last) if last else None
    return text_response(str(response), content_type="text/xml", headers=headers)


def _cookie(channel: str, call: str | None, text: str) -> dict[str, str]:
    """Return the header that stores a text for a call; a text that is too long is not stored."""
    value = quote(f"{call}:{text}", safe="", errors="replace")
    kept = f"{COOKIE}={value}" if len(value) <= MAX_COOKIE else f"{COOKIE}=; Max-Age=0"
    return {"Set-Cookie": f"{kept}; Path=/webhooks/{channel}/; HttpOnly"}


def split(reply: Reply) -> Iterable[Reply]:
    """Return the spoken parts of a reply: its texts, and the titles of its buttons.

    A text longer than Twilio accepts is said in pieces.
    """
    if reply.kind == "elements":
        return [part for element in elements_as_buttons(reply) for part in split(element)]
    if reply.kind in ("buttons", "quick_replies"):
        spoken = [reply.text or "", *(button.title for button in buttons_of(reply))]
    else:
        spoken = (reply.text or "").strip().split("\n\n") if reply.kind == "text" else []
    pieces = (piece for text in spoken for piece in split_text(text, SAY))
    return parts(reply, ({"kind": "text", "text": t, "content": None} for t in pieces))
