"""`twilio` and `twilio_voice`: the signed URL, keys, and replies that are repeated."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio import request_validator

from bridge.connectors.registry import load_channels
from bridge.errors import SettingsError, TurnFailed
from tests.integration.connectors import twilio_table, twilio_voice_table as voice
from tests.integration.connectors.runner import Turn, a_dispatcher, a_webhook
from tests.integration.connectors.tables import Post
from tests.integration.connectors.twilio_table import (
    NUMBER,
    TABLE,
    USER,
    encoded,
    message,
    reply,
    signed,
)
from tests.support.fakes import a_reply
from tests.support.service import FakeService

HOST = "bot.example"
PATH = "/webhooks/twilio/webhook"
BODY = encoded(message())


@pytest.mark.parametrize(
    ("called", "headers"),
    [
        (f"http://{HOST}{PATH}", {"Host": HOST}),
        (f"https://{HOST}{PATH}", {"Host": HOST, "X-Forwarded-Proto": "https"}),
        (f"https://{HOST}{PATH}", {"X-Forwarded-Host": HOST, "X-Forwarded-Proto": "https"}),
        (
            f"https://{HOST}{PATH}",
            {"X-Forwarded-Host": f"{HOST}, inner", "X-Forwarded-Proto": "https, http"},
        ),
        (f"https://{HOST}:443{PATH}", {"Host": HOST, "X-Forwarded-Proto": "https"}),
        (f"https://{HOST}{PATH}", {"Host": f"{HOST}:443", "X-Forwarded-Proto": "https"}),
    ],
)
async def test_the_signed_url_is_derived_from_proxy_headers(
    called: str, headers: dict[str, str]
) -> None:
    async with a_webhook(TABLE, {"webhook_url": None}) as webhook:
        assert (await webhook.post(signed(BODY, called, **headers)))[0] == 200
        status, answer, _ = await webhook.post(signed(BODY, f"{called}/other", **headers))
    assert status == 403
    assert "'webhook_url'" in answer
    assert PATH in json.loads(answer)["error"]


async def test_the_query_is_part_of_the_signed_url() -> None:
    url = f"http://{HOST}{PATH}?tenant=7"
    post = signed(BODY, url, Host=HOST)
    async with a_webhook(TABLE, {"webhook_url": None}) as webhook:
        there = Post(post.body, post.headers, path="webhook?tenant=7")
        assert (await webhook.post(there))[0] == 200
        assert (await webhook.post(post))[0] == 403


@pytest.mark.parametrize("host", ["bot.example:x", "bot.example:99999999", "[", "[::1"])
async def test_an_invalid_host_is_refused(host: str) -> None:
    headers = {"X-Forwarded-Host": host}
    async with a_webhook(TABLE, {"webhook_url": None}) as webhook:
        status, _, _ = await webhook.post(signed(BODY, f"http://{HOST}{PATH}", **headers))
    assert status == 403


KEY, OTHER = "shared-key-1", "shared-key-2"
needs_shared_keys = pytest.mark.skipif(
    not hasattr(request_validator, "get_signature_algorithm"),
    reason="the twilio that rasa wants knows no shared keys",
)


def shared(key: str, algorithm: str = "HMAC_SHA256", digest: str = "sha256") -> Post:
    """Sign as specified in https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys."""
    settings = f"key=webhooks_sharedkey_01,algorithm={algorithm}"
    post = signed(BODY)
    return Post(
        BODY,
        {
            **post.headers,
            "X-Twilio-Signature": twilio_table.signature(twilio_table.URL, BODY, key, digest),
            "X-Twilio-Webhooks-Signature-Settings": settings,
        },
    )


@needs_shared_keys
@pytest.mark.parametrize(
    ("post", "status"),
    [
        (shared(KEY), 200),
        (shared(OTHER), 200),
        (shared(KEY, "HMAC_SHA1", "sha1"), 200),
        (signed(BODY), 200),
        (shared("forged"), 403),
        (shared(KEY, digest="sha1"), 403),
        (shared(KEY, "HMAC_MD5", "md5"), 403),
        (shared(twilio_table.TOKEN), 403),
        (Post(b"Body=forged", shared(KEY).headers), 403),
    ],
)
async def test_shared_keys_sign_in_place_of_the_auth_token(post: Post, status: int) -> None:
    async with a_webhook(TABLE, {"shared_key": [KEY, OTHER]}) as webhook:
        assert (await webhook.post(post))[0] == status


async def test_a_shared_key_that_is_not_configured_is_refused() -> None:
    async with a_webhook(TABLE) as webhook:
        assert (await webhook.post(shared(KEY)))[0] == 403


def test_shared_keys_alone_are_sufficient() -> None:
    keys = {"twilio_voice": {"shared_key": KEY}}
    if needs_shared_keys.args[0]:
        with pytest.raises(SettingsError, match="'shared_key'"):
            load_channels(keys)
    else:
        assert load_channels(keys)["twilio_voice"].connector.verifies()


async def test_several_files_are_sent_as_several_fields(service: FakeService) -> None:
    urls = ["https://x.org/1.png", "https://x.org/2.png"]
    async with a_dispatcher(TABLE, service) as dispatcher:
        await dispatcher.deliver(
            a_reply(channel="twilio", **reply(kind="custom", content={"media_url": urls}))
        )
    (call,) = service.calls
    fields = [("From", NUMBER), *(("MediaUrl", url) for url in urls), ("To", USER)]
    assert call.headers["Content-Length"] == str(len(urlencode(fields)))


@pytest.mark.parametrize(
    ("key", "value"),
    [("account_sid", "AD1/../"), ("auth_token", " "), ("webhook_url", "bot.example")],
)
def test_a_malformed_key_is_refused(key: str, value: str) -> None:
    section = {**TABLE.section("http://127.0.0.1:1"), key: value}
    with pytest.raises(SettingsError, match=f"'{key}'"):
        load_channels({"twilio": section})


@pytest.mark.parametrize(
    "settings",
    [
        {"speech_timeout": "soon"},
        {"speech_timeout": "auto"},
        {"enhanced": "maybe"},
        {"enhanced": True},
    ],
)
def test_a_combination_that_twilio_does_not_accept_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"'{next(iter(settings))}'"):
        load_channels({"twilio_voice": settings})


def test_numbers_and_booleans_need_no_quotes() -> None:
    keys = {"speech_timeout": 3, "enhanced": True, "speech_model": "phone_call"}
    (channel,) = load_channels({"twilio_voice": keys}).values()
    (warning,) = channel.connector.warnings()
    assert "'auth_token'" in warning


async def test_newer_voices_and_models_are_accepted() -> None:
    """Not in the table, because Rasa does not start with these keys."""
    keys = {
        "assistant_voice": "Google.en-GB-Neural2-A",
        "speech_model": "deepgram_nova-3",
        "speech_timeout": "auto",
    }
    async with a_webhook(voice.TABLE, keys, [{"text": "hi"}]) as webhook:
        _, answer, _ = await webhook.post(voice.post(SpeechResult="hello"))
    how = 'enhanced="false" input="speech" speechModel="deepgram_nova-3" speechTimeout="auto"'
    assert answer == voice.twiml("hi", voice="Google.en-GB-Neural2-A", how=how)


def silence(kept: str, **changes: str) -> Post:
    """Return a request for silence, with the cookie that Twilio stored."""
    post = voice.post(**changes)
    return Post(post.body, {**post.headers, "Cookie": kept})


async def kept_after(*texts: str) -> str:
    """Return the cookie that Twilio stores after a turn."""
    async with a_webhook(voice.TABLE, replies=[{"text": text} for text in texts]) as webhook:
        _, _, headers = await webhook.post(voice.post(SpeechResult="hello"))
    cookie, *attributes = headers.get("Set-Cookie", "").split("; ")
    assert "Path=/webhooks/twilio_voice/" in attributes or not cookie
    return cookie


@pytest.mark.parametrize("said", ["two\n\nthree", 'Grüß; "Gott", =: 50 %'])
async def test_any_process_answers_silence_with_the_last_reply(said: str) -> None:
    kept = await kept_after("one", said)
    async with a_webhook(voice.TABLE) as another:
        _, answer, headers = await another.post(silence(kept))
    assert answer == voice.twiml(said)
    assert headers["Content-Type"].startswith("text/xml")


@pytest.mark.parametrize(
    "kept",
    ["", "said=", "said=%ff", "other=1; said", "said=CA1%3Aof another call", ';==,"[', "said=CA"],
)
async def test_silence_without_a_known_reply_is_answered_with_the_fallback_phrase(
    kept: str,
) -> None:
    async with a_webhook(voice.TABLE) as webhook:
        assert (await webhook.post(silence(kept)))[1] == voice.twiml(voice.FALLBACK)


async def test_a_reply_of_one_call_is_not_repeated_in_another() -> None:
    kept = await kept_after("your PIN is 1234")
    async with a_webhook(voice.TABLE) as webhook:
        other = await webhook.post(silence(kept, CallSid="CA2"))
    assert other[1] == voice.twiml(voice.FALLBACK)


async def test_a_reply_that_is_too_long_for_the_cookie_clears_it() -> None:
    assert await kept_after("ü" * 5000) == "said="
    assert await kept_after() == ""


async def test_a_failed_turn_does_not_end_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(self: Turn) -> AsyncIterator[Any]:
        yield a_reply(text="wait")
        raise TurnFailed(504, "late")

    monkeypatch.setattr(Turn, "__aiter__", failing)
    async with a_webhook(voice.TABLE) as webhook:
        status, answer, _ = await webhook.post(voice.post(SpeechResult="hello"))
    assert (status, answer) == (200, voice.twiml("wait", voice.FALLBACK))


async def test_an_instance_is_called_back_at_its_own_url() -> None:
    hotline = replace(voice.TABLE, channel="hotline")
    async with a_webhook(hotline, {"channel": "twilio_voice"}, [{"text": "hi"}]) as webhook:
        _, answer, headers = await webhook.post(voice.post(SpeechResult="hello"))
    assert 'action="/webhooks/hotline/webhook"' in answer
    assert "Path=/webhooks/hotline/" in headers["Set-Cookie"]


def test_the_signature_matches_twilios_documentation() -> None:
    """The example of www.twilio.com/docs/usage/webhooks/webhooks-security."""
    fields = (
        "CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310"
        "&To=%2B18005551212"
    )
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_table.signature(url, fields.encode(), "12345") == "GvWf1cFY/Q7PnoempGyD5oXAezc="
