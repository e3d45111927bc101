"""What a dead letter records about its message, and which dead letters a filter matches."""

from __future__ import annotations

import errno
import sqlite3
import ssl
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.dead_letters.filter import Filter
from bridge.errors import MessageError, RejectedDeliveryError
from bridge.messages import DeadLetter, Flow, InboundMessage, Reply, cause_of
from bridge.runtime.durations import age, parse_age
from bridge.runtime.retry import too_long
from tests.support.fakes import a_delivery, a_reply, an_inbound

LETTER = DeadLetter(
    flow="inbound",
    reason="failed",
    error="ValueError: x",
    attempts=3,
    first_at=1.5,
    last_at=2.5,
    queue="bridge.inbound.01",
    id="e1",
    channel="callback",
    conversation="ada",
)


def test_the_headers_of_a_dead_letter_have_a_prefix_and_hyphens() -> None:
    assert LETTER.headers() == {
        "x-bridge-flow": "inbound",
        "x-bridge-reason": "failed",
        "x-bridge-error": "ValueError: x",
        "x-bridge-attempts": 3,
        "x-bridge-first-at": 1.5,
        "x-bridge-last-at": 2.5,
        "x-bridge-queue": "bridge.inbound.01",
        "x-bridge-id": "e1",
        "x-bridge-channel": "callback",
        "x-bridge-conversation": "ada",
    }


def test_the_headers_of_a_dead_letter_fit_into_one_frame_however_long_its_texts() -> None:
    long = "👩" * 1_000_000
    texts = {name: long for name, value in vars(LETTER).items() if isinstance(value, str)}
    headers = DeadLetter(**{**vars(LETTER), **texts}).headers()
    assert sum(len(name) + len(str(value).encode()) for name, value in headers.items()) < 128 * 1024


@pytest.mark.parametrize(
    ("message", "id"),
    [
        (an_inbound("e1", sender_id="ada", channel="slack"), "e1"),
        (a_reply("e1:0", recipient_id="ada", channel="slack"), "e1:0"),
    ],
)
def test_a_dead_letter_names_its_message_channel_and_conversation(
    message: InboundMessage | Reply, id: str
) -> None:
    letter = DeadLetter.of(message, ValueError("x"), flow="inbound", reason="failed")
    assert (letter.id, letter.channel, letter.conversation) == (id, "slack", "ada")
    assert letter.error == "ValueError: x"


def test_an_undecodable_dead_letter_takes_its_id_from_the_properties() -> None:
    letter = DeadLetter.of(None, MessageError("x"), flow="inbound", reason="undecodable", id="e1")
    assert (letter.id, letter.channel, letter.conversation) == ("e1", "", "")


def test_without_a_first_attempt_both_times_are_the_current_time() -> None:
    before = time.time()
    letter = DeadLetter.of(an_inbound(), ValueError(), flow="inbound", reason="failed")
    assert before <= letter.first_at == letter.last_at <= time.time()


# ---- reading -------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DEATH = {
    "count": 1,
    "exchange": "bridge.inbound",
    "queue": "bridge.inbound.07",
    "reason": "delivery_limit",
    "routing-keys": ["07"],
    "time": NOON,
}
BY_BROKER = {"x-death": [DEATH], "x-first-death-reason": "delivery_limit", "x-delivery-count": 3}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)
times = st.floats(0, 4e9)


@given(
    st.builds(
        DeadLetter,
        flow=st.just("inbound"),
        reason=texts,
        error=texts,
        attempts=st.integers(0, 2**31),
        first_at=times,
        last_at=times,
        queue=texts,
        id=texts,
        channel=texts,
        conversation=texts,
        status=st.integers(0, 999),
    )
)
def test_a_dead_letter_read_from_its_headers_equals_the_original(letter: DeadLetter) -> None:
    assert DeadLetter.read(a_delivery(b"", headers=letter.headers()), "inbound") == letter


def test_headers_from_another_aio_pika_version_or_as_bytes_can_be_read() -> None:
    """aio-pika sends a float as text, aio-pika 8 as bytes; a text may be invalid UTF-8."""
    headers = {
        **LETTER.headers(),
        "x-bridge-first-at": bytearray(b"1.5"),
        "x-bridge-last-at": "2.5",
        "x-bridge-error": b"ValueError: \xff",
    }
    letter = DeadLetter.read(a_delivery(b"", headers=headers), "inbound")
    assert letter == replace(LETTER, error="ValueError: \\xff")


def test_the_flow_comes_from_the_queue_not_from_a_header() -> None:
    assert DeadLetter.read(a_delivery(b"", headers=LETTER.headers()), "replies").flow == "replies"


@pytest.mark.parametrize("value", [None, "x", b"\xff", "nan", "inf", [1], {}, True])
def test_a_dead_letter_with_meaningless_headers_can_be_read(value: Any) -> None:
    headers = dict.fromkeys(LETTER.headers(), value)
    letter = DeadLetter.read(a_delivery(b"", headers=headers), "inbound")
    assert isinstance(letter.attempts, int)
    assert letter.last_at in (0.0, 1.0)


@pytest.mark.parametrize("at", [NOON, NOON.replace(tzinfo=None)])
@pytest.mark.parametrize(
    ("message", "flow", "conversation"),
    [
        (an_inbound("e1", sender_id="ada"), "inbound", "ada"),
        (a_reply("e1", recipient_id="bob"), "replies", "bob"),
    ],
)
def test_a_message_dead_lettered_by_the_broker_is_read_from_its_headers_and_body(
    message: InboundMessage | Reply, flow: Flow, conversation: str, at: datetime
) -> None:
    """pamqp 3 returns times without a time zone."""
    headers = {**BY_BROKER, "x-death": [{**DEATH, "time": at}]}
    assert DeadLetter.read(a_delivery(message, headers=headers), flow) == DeadLetter(
        flow=flow,
        reason="delivery_limit",
        error="DeliveryLimit: dead-lettered by RabbitMQ",
        attempts=0,
        first_at=NOON.timestamp(),
        last_at=NOON.timestamp(),
        queue="bridge.inbound.07",
        id="e1",
        channel="callback",
        conversation=conversation,
    )


def test_an_undecodable_message_that_the_broker_dead_letters_has_the_id_of_its_properties() -> None:
    letter = DeadLetter.read(a_delivery(b"{", headers=BY_BROKER, message_id="e1"), "inbound")
    assert (letter.reason, letter.id, letter.conversation) == ("delivery_limit", "e1", "")


@pytest.mark.parametrize("deaths", [None, [], "x", [None], {}, [{"reason": None, "time": "soon"}]])
def test_a_dead_letter_without_headers_has_an_unknown_reason_and_no_time(deaths: Any) -> None:
    letter = DeadLetter.read(a_delivery(an_inbound("e1"), headers={"x-death": deaths}), "inbound")
    assert (letter.id, letter.reason, letter.last_at) == ("e1", "unknown", 0)


# ---- filters -------------------------------------------------------------------------------------

MATCHING = {
    "nothing asked": Filter(),
    "its flow": Filter(flow="inbound"),
    "its channel": Filter(channel="callback"),
    "its conversation": Filter(conversation="ada"),
    "its id": Filter(id="e1"),
    "its error's class": Filter(error="ValueError"),
    "part of the class, in any case": Filter(error="value"),
    "part of the reason": Filter(error="fail"),
    "its reason": Filter(reason="failed"),
    "its cause": Filter(cause="valueerror"),
    "older": Filter(before=3),
    "newer": Filter(after=2),
    "all of it": Filter("inbound", "callback", "ada", "Value", "e1", before=3, after=2),
}
OTHERS = {
    "another flow": Filter(flow="replies"),
    "another channel": Filter(channel="call"),
    "another conversation": Filter(conversation="Ada"),
    "another id": Filter(id="e"),
    "an empty id": Filter(id=""),
    "another error": Filter(error="KeyError"),
    "the error's words": Filter(error="ValueError: x"),
    "part of its reason": Filter(reason="fail"),
    "part of its cause": Filter(cause="Value"),
    "not old enough": Filter(before=2.5),
    "not new enough": Filter(after=2.5),
    "one of two": Filter(channel="callback", conversation="bob"),
}


@pytest.mark.parametrize("wanted", MATCHING.values(), ids=MATCHING)
def test_a_filter_matches_a_dead_letter_that_meets_its_criteria(wanted: Filter) -> None:
    assert wanted.matches(LETTER)


@pytest.mark.parametrize("wanted", OTHERS.values(), ids=OTHERS)
def test_a_filter_rejects_a_dead_letter_that_misses_a_criterion(wanted: Filter) -> None:
    assert not wanted.matches(LETTER)


@pytest.mark.parametrize("wanted", [Filter(before=3), Filter(after=0)])
def test_a_dead_letter_with_an_unknown_time_is_neither_older_nor_newer(wanted: Filter) -> None:
    assert not wanted.matches(replace(LETTER, last_at=0))


def test_the_cause_of_a_letter_with_an_http_status_is_that_status() -> None:
    letter = replace(LETTER, error="RetryableDeliveryError: x", status=503)
    assert (letter.cause, LETTER.cause) == ("HTTP 503", "ValueError")
    for wanted in (Filter(cause="http 503"), Filter(error="503"), Filter(error="retryable")):
        assert wanted.matches(letter)
        assert not wanted.matches(LETTER)
    assert not Filter(cause="RetryableDeliveryError").matches(letter)


def full() -> sqlite3.Error:
    """Return what SQLite raises when its file may not grow."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("pragma max_page_count = 1")
        with pytest.raises(sqlite3.Error) as raised:
            database.execute("create table events (data)")
    return raised.value


class OperationalError(Exception):
    """As SQLAlchemy's, whose text quotes the statement and its parameters."""

    def __init__(self, orig: Exception) -> None:
        super().__init__(f"{orig} [parameters: ('words of a user')]")
        self.orig = orig


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("words of a user"), "ValueError"),
        (
            OSError(errno.ENOSPC, "words of a library", "/secret"),
            "OSError: No space left on device",
        ),
        (OSError("words of a library"), "OSError"),
        (ssl.SSLError(1, "words of a library"), "SSLError"),
        (OperationalError(ValueError("x")), "OperationalError"),
        (OperationalError(full()), "OperationalError: database or disk is full"),
        (full(), "OperationalError: database or disk is full"),
        (
            OperationalError(ConnectionRefusedError(errno.ECONNREFUSED, "x")),
            "OperationalError: Connection refused",
        ),
    ],
    ids=str,
)
def test_a_cause_quotes_the_system_and_sqlite_and_no_one_else(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause


def test_a_dead_letter_has_the_status_of_the_error_or_of_what_caused_it() -> None:
    refused = RejectedDeliveryError("x")
    refused.status = 404
    late = too_long(refused, 9000, 0)
    without = ValueError()
    without.__cause__ = TypeError()
    for error, status in ((refused, 404), (late, 404), (without, 0), (RejectedDeliveryError(), 0)):
        letter = DeadLetter.of(a_reply(), error, flow="replies", reason="failed")
        assert letter.status == status


def test_only_a_filter_without_criteria_takes_all() -> None:
    assert Filter().takes_all
    assert Filter(flow="inbound").takes_all
    narrow = [f for f in (*MATCHING.values(), *OTHERS.values()) if f != Filter(flow=f.flow)]
    assert len(narrow) > 15
    assert not any(wanted.takes_all for wanted in narrow)


def test_a_filter_covers_both_flows_unless_it_names_one() -> None:
    assert Filter().flows == ("inbound", "replies")
    assert Filter(flow="replies").flows == ("replies",)


# ---- ages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1.5h", 5400),
    ],
)
def test_an_age_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "10 m", "10min", "1w", "1.h", "٣m", "m10"])
def test_an_invalid_age_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 90s, 10m, 2h or 1d"):
        parse_age(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0.4, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (200000, "2d")],
)
def test_an_age_is_shown_in_its_largest_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text
