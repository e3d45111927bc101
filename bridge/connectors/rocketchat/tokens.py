"""The bot's login at Rocket.Chat: a session's token and user id, sent with every call."""

from __future__ import annotations

from bridge.connectors.rocketchat.outgoing import raise_for_response
from bridge.connectors.toolkit.login import Headers, SessionExpired
from bridge.errors import RejectedDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient


async def log_in(http: HttpClient, url: str, user: str, password: str) -> Headers:
    """Return the headers of a new session; `user` is a user name or an email address.

    Raises:
        ServiceUnavailable: Rocket.Chat refuses the login.
        RetryableDeliveryError: the call failed and may succeed later.
    """
    name = "user" if "@" in user else "username"
    body = {name: user, "password": password}
    try:
        response = await http.post_json(f"{url}/login", body, check=raise_for_response)
    except (RejectedDeliveryError, SessionExpired) as error:
        raise ServiceUnavailable(
            f"Rocket.Chat refused the login ({error.problem})", fix="check 'user' and 'password'"
        ) from error
    data = response.json_object().get("data")
    session = data if isinstance(data, dict) else {}
    if not (session.get("authToken") and session.get("userId")):
        raise ServiceUnavailable(
            "Rocket.Chat: the login response has no token", fix="check 'server_url'"
        )
    return {
        "X-Auth-Token": str(session["authToken"]),
        "X-User-Id": str(session["userId"]),
    }
