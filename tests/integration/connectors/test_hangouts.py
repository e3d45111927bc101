"""`hangouts`: rotation of Google's certificates, and failing turns."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from bridge.connectors.hangouts.outgoing import LIMIT, respond, size_of
from bridge.connectors.hangouts.tokens import GoogleTokens
from bridge.connectors.registry import load_channel
from bridge.connectors.toolkit.refreshed import FAILURE_LASTS
from bridge.errors import RequestRejected, SettingsError, TurnFailed
from tests.integration.connectors import runner
from tests.integration.connectors.hangouts_table import (
    CERTS,
    ISSUER,
    PROJECT,
    TABLE,
    URL,
    bearing,
    certificate,
    genuine_token,
    post,
    said,
    token,
)
from tests.support.fakes import a_reply
from tests.support.service import FakeService


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Google:
    """Serves the certificates of the named keys."""

    def __init__(self, service: FakeService, *names: str) -> None:
        self.names = list(names)
        self.status = 200
        self.cache = "public, max-age=20000, must-revalidate"
        service.answer = lambda call: web.json_response(
            {name: certificate(name) for name in self.names},
            status=self.status,
            headers={"Cache-Control": self.cache},
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(service: FakeService, clock: Clock) -> GoogleTokens:
    return GoogleTokens(PROJECT, clock, certs_url=f"{service.url}certs")


async def checked(tokens: GoogleTokens, bearer: str) -> dict[str, Any]:
    await tokens.refresh(bearer)
    return tokens.check(bearer)


async def test_certificates_are_fetched_once_while_they_are_fresh(
    service: FakeService, tokens: GoogleTokens, clock: Clock
) -> None:
    Google(service, "google")
    for clock.now in (1000.0, 20999.0):
        assert (await checked(tokens, genuine_token()))["iss"] == ISSUER
    assert len(service.calls) == 1
    clock.now = 21000.0
    await checked(tokens, genuine_token())
    assert len(service.calls) == 2


async def test_certificates_without_cache_control_are_fresh_for_an_hour(
    service: FakeService, tokens: GoogleTokens, clock: Clock
) -> None:
    Google(service, "google").cache = "private"
    for clock.now, calls in ((1000.0, 1), (4599.0, 1), (4600.0, 2)):
        await checked(tokens, genuine_token())
        assert len(service.calls) == calls


async def test_a_new_key_is_fetched_at_once_but_not_at_every_request(
    service: FakeService, tokens: GoogleTokens, clock: Clock
) -> None:
    google = Google(service, "google")
    await checked(tokens, genuine_token())
    google.names = ["google", "next"]
    by_next = token(signer="next", kid="next")
    with pytest.raises(RequestRejected):
        await checked(tokens, by_next)
    assert len(service.calls) == 1
    clock.now += 60
    await checked(tokens, by_next)
    assert len(service.calls) == 2
    for _ in range(3):
        with pytest.raises(RequestRejected):
            await checked(tokens, token(kid="unknown"))
    assert len(service.calls) == 2


async def test_a_withdrawn_key_is_no_longer_accepted(
    service: FakeService, tokens: GoogleTokens, clock: Clock
) -> None:
    google = Google(service, "google")
    await checked(tokens, genuine_token())
    google.names = ["next"]
    clock.now += 20000
    with pytest.raises(RequestRejected) as caught:
        await checked(tokens, genuine_token())
    assert caught.value.status == 403


@pytest.mark.parametrize("status", [404, 500])
async def test_old_certificates_are_used_while_new_ones_are_not_available(
    service: FakeService, tokens: GoogleTokens, clock: Clock, status: int
) -> None:
    google = Google(service, "google")
    await checked(tokens, genuine_token())
    google.status = status
    clock.now += 20000
    await checked(tokens, genuine_token())
    assert len(service.calls) == 2


@pytest.mark.parametrize("answer", ["", "[]", '{"google": 1}', "<html>"])
async def test_without_certificates_google_must_send_again(
    service: FakeService, tokens: GoogleTokens, clock: Clock, answer: str
) -> None:
    service.answer = lambda call: web.Response(text=answer)
    with pytest.raises(RequestRejected) as caught:
        await tokens.refresh(genuine_token())
    assert caught.value.status == 503
    Google(service, "google")
    clock.now += FAILURE_LASTS
    await checked(tokens, genuine_token())


async def test_an_invalid_certificate_verifies_no_token(
    service: FakeService, tokens: GoogleTokens
) -> None:
    service.answer = lambda call: web.json_response({"google": "-----BEGIN CERTIFICATE-----"})
    with pytest.raises(RequestRejected) as caught:
        await checked(tokens, genuine_token())
    assert caught.value.status == 403


async def test_no_message_is_accepted_while_google_is_unreachable(service: FakeService) -> None:
    url = service.url
    await service.stop()
    async with runner.a_webhook(TABLE, {"certs_url": f"{url}{CERTS}"}) as webhook:
        assert (await webhook.post(bearing(genuine_token())))[0] == 503
        assert not webhook.messages


@pytest.mark.parametrize("status", [500, 504])
async def test_a_failed_turn_is_not_a_200(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    class Failing(runner.Turn):
        async def __aiter__(self) -> Any:
            raise TurnFailed(status, "it failed")
            yield

    monkeypatch.setattr(runner, "Turn", Failing)
    async with runner.a_webhook(TABLE) as webhook:
        assert (await webhook.post(post(said())))[0] == status
        assert len(webhook.messages) == 1


def test_a_start_warns_about_missing_keys() -> None:
    unchecked, shared = load_channel("hangouts", {}).connector.warnings()
    assert "'project_id'" in unchecked
    assert "'sender_id'" in shared
    keys = {"project_id": PROJECT, "sender_id": "name"}
    assert not load_channel("hangouts", keys).connector.warnings()


@pytest.mark.parametrize(
    ("keys", "named"),
    [({"webhook_url": URL}, "project_id"), ({"webhook_url": "bot.example"}, "webhook_url")],
)
def test_a_webhook_url_requires_its_project(keys: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=f"'{named}'"):
        load_channel("hangouts", keys)


@pytest.mark.parametrize(
    "replies",
    [
        [{"text": "word " * 7000}],
        [{"text": "é" * 5000} for _ in range(10)],
        [{"text": '"' * 20_000}],
        [{"text": "\U0001f98a" * 9000}],
        [
            {
                "kind": "buttons",
                "text": "word " * 7000,
                "content": [{"title": "Yes", "payload": "/y"}],
            }
        ],
        [{"kind": "custom", "content": {"cardsV2": [{"card": {"name": "a" * 40_000}}]}}],
        [{"kind": "image", "content": "https://x.org/" + "a" * 100} for _ in range(400)],
        [{"kind": "custom", "content": {"unknown": "a" * 40_000}}, {"text": "word " * 7000}],
    ],
)
def test_a_response_that_is_too_long_becomes_a_text(replies: list[dict[str, Any]]) -> None:
    answer = respond(a_reply(f"r{n}", **reply) for n, reply in enumerate(replies))
    assert set(answer) == {"text"}
    assert answer["text"].endswith("…")
    assert 0.5 * LIMIT < size_of(answer) <= LIMIT


def test_a_response_of_an_add_on_is_measured_with_its_longer_cards() -> None:
    buttons = [{"title": f"B{n}", "payload": "/b"} for n in range(250)]
    reply = a_reply("r1", kind="buttons", text="Which?", content=buttons)
    assert "cards" in respond([reply])
    message = respond([reply], "https://bot.example/" + "a" * 60)["hostAppDataAction"][
        "chatDataAction"
    ]["createMessageAction"]["message"]
    assert set(message) == {"text"}
    assert message["text"].startswith("Which?\n1: B0 (/b)\n")


def test_a_response_that_just_fits_is_not_shortened() -> None:
    text = "word " * 6300
    assert respond([a_reply("r1", text=text)]) == {"text": text}
