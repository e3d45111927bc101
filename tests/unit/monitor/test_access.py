from __future__ import annotations

import pytest

from bridge.errors import RequestRejected, SettingsError
from bridge.monitor.access import (
    FAILURE_WINDOW,
    MAX_ADDRESSES,
    MAX_FAILURES,
    SESSION_SECONDS,
    AccessControl,
)

TOKEN = "a token of enough length"
JSON = "application/json"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def an_access(clock: Clock | None = None, token: str | None = TOKEN) -> AccessControl:
    return AccessControl("127.0.0.1", 5006, token, clock or Clock())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "monitor.example", ""])
def test_an_address_other_than_loopback_needs_a_token(host: str) -> None:
    with pytest.raises(
        SettingsError, match="16 characters or more with --token or RASA_BRIDGE_MONITOR_TOKEN"
    ):
        AccessControl(host, 5006, None)
    with pytest.raises(SettingsError, match="--token"):
        AccessControl(host, 5006, "")
    AccessControl(host, 5006, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    AccessControl(host, 5006, None).check_user("", "", "127.0.0.1")


def test_a_short_token_is_refused_even_on_loopback() -> None:
    with pytest.raises(SettingsError, match="too short"):
        AccessControl("127.0.0.1", 5006, "x" * 15)
    AccessControl("127.0.0.1", 5006, "x" * 16)


@pytest.mark.parametrize(
    "host", ["localhost:5006", "127.0.0.1:5006", "[::1]:5006", "LOCALHOST:5006"]
)
def test_without_a_token_the_page_is_served_under_its_own_names(host: str) -> None:
    an_access(token=None).check_host(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example:5006", "localhost", "localhost:5007", "127.0.0.1.evil.example:5006"]
)
def test_without_a_token_any_other_host_name_is_refused(host: str) -> None:
    with pytest.raises(RequestRejected) as rejected:
        an_access(token=None).check_host(host)
    assert rejected.value.status == 403
    an_access().check_host(host)  # such as a proxy's name: the token is required anyway


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
def test_only_the_monitors_own_page_may_change_anything(
    origin: str, content_type: str, status: int | None
) -> None:
    access = an_access()
    if status is None:
        access.check_change("127.0.0.1:5006", origin, content_type)
        return
    with pytest.raises(RequestRejected) as rejected:
        access.check_change("127.0.0.1:5006", origin, content_type)
    assert rejected.value.status == status


def test_without_a_host_every_origin_is_refused() -> None:
    with pytest.raises(RequestRejected):
        an_access().check_change("", "", JSON)


def test_only_the_token_and_a_session_are_accepted() -> None:
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


def test_a_session_expires_and_survives_a_restart() -> None:
    clock = Clock()
    session = an_access(clock).session()
    clock.now += SESSION_SECONDS - 1
    an_access(clock).check_user("", session, "a")
    clock.now += 1
    with pytest.raises(RequestRejected):
        an_access(clock).check_user("", session, "a")


def log_in(access: AccessControl, peer: str, token: str = "wrong") -> int:
    """Return the HTTP status that a token gets."""
    try:
        access.check_token(token, peer)
    except RequestRejected as rejected:
        return rejected.status
    return 200


def test_failed_logins_throttle_only_their_own_address() -> None:
    clock = Clock()
    access = an_access(clock)
    assert [log_in(access, "a") for _ in range(MAX_FAILURES + 1)] == [401] * MAX_FAILURES + [429]
    assert log_in(access, "b") == 401
    assert log_in(access, "a", TOKEN) == 200
    access.check_user("", access.session(), "a")
    clock.now += FAILURE_WINDOW
    assert log_in(access, "a") == 401


def test_the_number_of_remembered_addresses_is_bounded() -> None:
    access = an_access()
    for number in range(MAX_ADDRESSES + 10):
        log_in(access, str(number))
    assert len(access._throttle._failures) == MAX_ADDRESSES


NOT_UTF8 = "\udcff\udcfe"


@pytest.mark.parametrize("text", [NOT_UTF8, f"{NOT_UTF8}.{NOT_UTF8}", f"1.{NOT_UTF8}", "é", "\x00"])
def test_a_header_that_is_not_utf8_is_a_wrong_token(text: str) -> None:
    for authorization, session in (
        (f"Bearer {text}", ""),
        (text, ""),
        ("", text),
        ("", f"{text}."),
    ):
        with pytest.raises(RequestRejected) as rejected:
            an_access().check_user(authorization, session, "192.0.2.1")
        assert rejected.value.status == 401


def test_the_right_token_passes_however_many_wrong_ones_came_from_its_address() -> None:
    access = an_access()
    statuses = []
    for _ in range(3 * MAX_FAILURES):
        with pytest.raises(RequestRejected) as rejected:
            access.check_token("wrong", "192.0.2.1")
        statuses.append(rejected.value.status)
        access.check_user(f"Bearer {TOKEN}", "", "192.0.2.1")
        access.check_token(TOKEN, "192.0.2.1")
    assert statuses == [401] * MAX_FAILURES + [429] * 2 * MAX_FAILURES
