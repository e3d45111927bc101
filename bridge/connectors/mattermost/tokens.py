"""The bot's login and user id at Mattermost: https://developers.mattermost.com/api-documentation/."""

from __future__ import annotations

import msgspec

from bridge.connectors.mattermost.outgoing import raise_for_response
from bridge.connectors.toolkit.events import converted
from bridge.connectors.toolkit.login import Headers, Login
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient, Response


async def log_in(
    http: HttpClient, url: str, token: str, user: str | None, password: str | None
) -> Headers:
    """Return the headers of a session: those of `token`, or of a new login.

    Raises:
        ServiceUnavailable: Mattermost refuses the login.
        RetryableDeliveryError: the call failed and may succeed later.
    """
    if token:
        return {"Authorization": f"Bearer {token}"}
    body = {"login_id": user, "password": password}
    try:
        answer = await http.post_json(f"{url}/users/login", body)
    except RejectedDeliveryError as error:
        raise ServiceUnavailable(
            f"Mattermost refused the login ({error.problem})", fix="check 'user' and 'pw'"
        ) from error
    session = next((v for k, v in answer.headers.items() if k.lower() == "token"), None)
    if not session:
        raise ServiceUnavailable("Mattermost: the login response has no token", fix="check 'url'")
    return {"Authorization": f"Bearer {session}"}


class Bot(msgspec.Struct):
    """The bot's account."""

    id: str
    username: str | None = None


async def fetch_bot(url: str, login: Login) -> Bot:
    """Return the account of the bot.

    Raises:
        DeliveryError: Mattermost did not provide it.
    """
    async with HttpClient() as http:

        async def get(headers: Headers) -> Response:
            return await http.get(f"{url}/users/me", headers=headers, check=raise_for_response)

        answer = (await login.call(http, get)).json()
    bot = converted(answer, Bot)
    if bot is None:
        raise RetryableDeliveryError("Mattermost: /users/me has no id", fix="check 'url'")
    return bot
