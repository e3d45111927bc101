"""`rest` and `callback` with their optional authentication."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from tests.integration.connectors import callback_table, rest_table
from tests.integration.connectors.runner import a_webhook
from tests.integration.connectors.tables import Post, Table, as_bytes
from tests.support import logged

TOKEN, SECRET = "a-token-of-a-service", "a secret of sixty-four bytes, " * 3
ADA = {"username": "ada", "role": "user"}
TABLES = {"rest": (rest_table.TABLE, "token"), "callback": (callback_table.TABLE, "incoming_token")}

each_channel = pytest.mark.parametrize("channel", TABLES)


def signed(claims: dict[str, Any], key: str = SECRET, method: str = "HS256") -> str:
    return f"Bearer {jwt.encode(claims, key, method)}"


def user(**user: Any) -> str:
    return signed({"user": user})


BAD = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    TOKEN,
    f"Basic {TOKEN}",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    "Bearer ü",
    "Bearer a.b.c",
    signed({"user": ADA}, "another secret " * 5),
    signed({"user": ADA}, SECRET, "HS512"),
    signed({"user": ADA, "exp": time.time() - 60}),
    signed({"user": ADA, "nbf": time.time() + 86_400}),
    "Bearer " + jwt.encode({"user": ADA}, None, "none"),  # type: ignore[arg-type]
    signed({}),
    signed({"user": "ada"}),
    signed({"user": ["ada"]}),
    signed({"username": "ada", "role": "admin"}),
    user(username="ada"),
    user(username="ada", role="guest"),
    user(username="ada", role=["admin"]),
    user(username="bob", role="user"),
    user(role="user"),
    user(username="", role="user"),
    user(username=["ada"], role="user"),
    user(username={"ada": 1}, role="user"),
]
GOOD = [
    f"Bearer {TOKEN}",
    f"bearer {TOKEN}",
    "Bearer another-token",
    user(**ADA),
    user(username="root", role="admin"),
    user(role="admin"),
    signed({"user": ADA, "exp": time.time() + 86_400}),
]


def settings(key: str) -> dict[str, Any]:
    return {key: [TOKEN, "another-token"], "jwt_secret": SECRET}


def post(table: Table, authorization: str | None, body: bytes | None = None) -> Post:
    headers = {} if authorization is None else {"Authorization": authorization}
    said = as_bytes({"sender": "ada", "message": "hello"})
    return Post(said if body is None else body, {"Content-Type": "application/json", **headers})


@each_channel
async def test_only_known_callers_may_write(channel: str) -> None:
    table, key = TABLES[channel]
    async with a_webhook(table, settings(key)) as webhook:
        assert webhook.connector.verifies()
        for authorization in BAD:
            for body in (None, b"not JSON"):
                status, answer, _ = await webhook.post(post(table, authorization, body))
                expected = {403} if body is None else {400, 403}
                assert status in expected, (authorization, answer)
        assert not webhook.messages
        for authorization in GOOD:
            status, answer, _ = await webhook.post(post(table, authorization))
            assert status == 200, (authorization, answer)
        assert len(webhook.messages) == len(GOOD)


@each_channel
async def test_one_kind_of_token_is_enough_and_the_other_is_then_refused(channel: str) -> None:
    table, key = TABLES[channel]
    for given, good, bad in (
        ({key: TOKEN}, f"Bearer {TOKEN}", user(**ADA)),
        ({"jwt_secret": SECRET}, user(**ADA), f"Bearer {TOKEN}"),
    ):
        async with a_webhook(table, given) as webhook:
            assert (await webhook.post(post(table, good)))[0] == 200
            assert (await webhook.post(post(table, bad)))[0] == 403


@each_channel
async def test_without_these_keys_anyone_may_write_and_the_webhook_says_so(channel: str) -> None:
    table, key = TABLES[channel]
    async with a_webhook(table) as webhook:
        assert (await webhook.post(post(table, None)))[0] == 200
        (warning,) = webhook.connector.warnings()
        assert warning.startswith(f"key '{key}' is missing: anyone who knows the URL")


logged.note_secret([TOKEN, SECRET])
