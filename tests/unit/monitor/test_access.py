from __future__ import annotations

import pytest

from bridge.errors import RequestRejected, SettingsError
from bridge.monitor.access import ADDRESSES, GUESSES, GUESSES_PER, SESSION, Access

TOKEN = "a token of enough length"
JSON = "application/json"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def an_access(clock: Clock | None = None, token: str | None = TOKEN) -> Access:
    return Access("127.0.0.1", 5006, token, clock or Clock())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "monitor.example", ""])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="--token or RASA_BRIDGE_MONITOR_TOKEN, 16 characters"):
        Access(host, 5006, None)
    with pytest.raises(SettingsError, match="--token"):
        Access(host, 5006, "")
    Access(host, 5006, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    Access(host, 5006, None).check_user("", "", "127.0.0.1")


def test_a_short_token_is_refused_also_on_loopback() -> None:
    with pytest.raises(SettingsError, match="too short"):
        Access("127.0.0.1", 5006, "x" * 15)
    Access("127.0.0.1", 5006, "x" * 16)


@pytest.mark.parametrize(
    "host", ["localhost:5006", "127.0.0.1:5006", "[::1]:5006", "LOCALHOST:5006"]
)
def test_without_a_token_the_page_is_ours_by_its_own_names(host: str) -> None:
    an_access(token=None).check_host(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example:5006", "localhost", "localhost:5007", "127.0.0.1.evil.example:5006"]
)
def test_without_a_token_no_other_name_is_served(host: str) -> None:
    with pytest.raises(RequestRejected) as rejected:
        an_access(token=None).check_host(host)
    assert rejected.value.status == 403
    an_access().check_host(host)  # a proxy's name, say: whoever comes must know the token


@pytest.mark.parametrize(
    ("origin", "content_type", "status"),
    [
        ("http://127.0.0.1:5006", JSON, None),
        ("https://127.0.0.1:5006", f"{JSON}; charset=utf-8", None),
        ("http://evil.example", JSON, 403),
        ("http://127.0.0.1:5007", JSON, 403),
        ("null", JSON, 403),
        ("", JSON, 403),
        ("http://127.0.0.1:5006", "text/plain", 415),
        ("http://127.0.0.1:5006", "", 415),
    ],
)
def test_only_our_own_page_may_change_something(
    origin: str, content_type: str, status: int | None
) -> None:
    access = an_access()
    if status is None:
        access.check_change("127.0.0.1:5006", origin, content_type)
        return
    with pytest.raises(RequestRejected) as rejected:
        access.check_change("127.0.0.1:5006", origin, content_type)
    assert rejected.value.status == status


def test_without_a_host_no_origin_is_ours() -> None:
    with pytest.raises(RequestRejected):
        an_access().check_change("", "", JSON)


def test_the_token_and_a_session_open_it_and_nothing_else_does() -> None:
    access = an_access()
    access.check_user(f"Bearer {TOKEN}", "", "a")
    access.check_user("", access.session(), "a")
    until, _, signature = access.session().partition(".")
    forged = an_access(token="another token of length").session()
    for session in ("", ".", "x", f"{int(until) + 1}.{signature}", f"{until}.", forged, "é.é"):
        with pytest.raises(RequestRejected) as rejected:
            access.check_user("", session, "a")
        assert rejected.value.status == 401
    for authorization in ("Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"):
        with pytest.raises(RequestRejected):
            access.check_user(authorization, "", "a")


def test_a_session_ends_and_outlives_a_restart() -> None:
    clock = Clock()
    session = an_access(clock).session()
    clock.now += SESSION - 1
    an_access(clock).check_user("", session, "a")
    clock.now += 1
    with pytest.raises(RequestRejected):
        an_access(clock).check_user("", session, "a")


def guess(access: Access, peer: str, token: str = "wrong") -> int:
    """Return the status that a token is answered with."""
    try:
        access.check_token(token, peer)
    except RequestRejected as rejected:
        return rejected.status
    return 200


def test_whoever_guesses_has_to_wait_and_nobody_else() -> None:
    clock = Clock()
    access = an_access(clock)
    assert [guess(access, "a") for _ in range(GUESSES + 1)] == [401] * GUESSES + [429]
    assert guess(access, "a", TOKEN) == 429
    assert guess(access, "b", TOKEN) == 200
    access.check_user("", access.session(), "a")
    clock.now += GUESSES_PER
    assert guess(access, "a", TOKEN) == 200


def test_the_addresses_that_are_remembered_are_bounded() -> None:
    access = an_access()
    for number in range(ADDRESSES + 10):
        guess(access, str(number))
    assert len(access._brake._wrong) == ADDRESSES
