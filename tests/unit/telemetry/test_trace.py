"""Hops: recorded cheaply, kept while the broker is away, found again, and told as a story."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from bridge.commands.trace_view import as_waterfall, duration
from bridge.errors import BrokerUnavailable, MessageError, RetryableDeliveryError
from bridge.messages import InboundMessage, Reply
from bridge.runtime.work import Work
from bridge.telemetry import trace
from bridge.telemetry.trace import recorder as recording
from bridge.telemetry.trace.batch import Entries, Mark, decode, encode
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.recorder import Recorder, Sender, process_hops, sending
from bridge.telemetry.trace.rows import TURNED, Row, called_row, turned_row
from bridge.telemetry.trace.search import Search, Seen
from bridge.telemetry.trace.story import Story, story_of
from tests.support.fakes import a_reply, an_inbound
from tests.support.hops import attempted, earlier_batch, enqueued, hops_in


@pytest.fixture
def recorded() -> Iterator[Callable[[], list[Hop]]]:
    process_hops.on(1)
    yield hops_in
    process_hops.on(-1)


class Writer:
    """Keeps what is written; fails while `error` is set."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.bodies: list[bytes] = []
        self.whole: list[bytes] = []
        """Those that are not written again."""
        self.error: Exception | None = None

    async def write(self, body: bytes, mark: Mark) -> None:
        if self.error is not None:
            raise self.error
        (self.whole if mark == "whole" else self.bodies).append(body)
        self.marks.append(mark)

    @property
    def hops(self) -> list[Hop]:
        return [hop for body in self.bodies for hop in decode(body).all_hops()]


def a_hop(kind: Any, at: float, **changes: Any) -> Hop:
    fields = {"channel": "callback", "conversation": "ada", "id": "m1", **changes}
    return Hop(kind, at, **fields)


def a_row(id: str) -> Row:
    row = turned_row("callback", "ada", id, 1, 1.0)
    row[TURNED] = 2.0
    return row


# ---- recording -----------------------------------------------------------------------------------

Recorded = Callable[[], list[Hop]]


def test_nothing_is_recorded_without_a_sender() -> None:
    with enqueued(an_inbound()):
        pass
    called(a_reply())
    with attempted(an_inbound(), 1):
        trace.reply(a_reply())
        trace.turn(an_inbound(), 0.1, 1)
    trace.settled(an_inbound(), "handled")
    assert hops_in() == []


def test_enqueuing_is_accepted_then_confirmed_or_refused(recorded: Recorded) -> None:
    message = an_inbound("m1", received_at=5.0)
    with enqueued(message):
        pass
    confirmed = recorded()
    assert [(hop.kind, hop.at == 5.0) for hop in confirmed] == [
        ("accepted", True),
        ("confirmed", False),
    ]
    with pytest.raises(BrokerUnavailable), enqueued(message):
        raise BrokerUnavailable("alarm")
    kinds = [hop.kind for hop in recorded()]
    assert kinds == ["accepted", "accepted", "confirmed", "refused"]
    assert recorded()[3].what == "BrokerUnavailable"


def test_refusals_leave_room_for_the_hops_of_what_is_accepted(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_hops, "reserved", 4)
    monkeypatch.setattr(process_hops, "room", 8)
    dropped = process_hops.dropped
    for number in range(10):
        with pytest.raises(BrokerUnavailable), enqueued(an_inbound(f"e{number}")):
            raise BrokerUnavailable("away")
    with enqueued(an_inbound("accepted")):
        pass
    kinds = sorted((hop.id, hop.kind) for hop in recorded())
    ends = [("e0", "refused"), ("e1", "refused"), ("accepted", "confirmed")]
    assert kinds == sorted([*ends, *((id, "accepted") for id, _ in ends)])
    assert process_hops.dropped == dropped + 16
    process_hops.dropped = dropped


def test_an_attempt_that_the_broker_ends_is_held_any_other_error_is_a_failure(
    recorded: Recorded,
) -> None:
    for error in (BrokerUnavailable("gone"), ValueError("secret text"), asyncio.CancelledError()):
        with pytest.raises(type(error)), attempted(a_reply(), 2):
            raise error
    hops = recorded()
    ends = [(hop.kind, hop.what) for hop in hops if hop.kind != "attempt"]
    assert ends == [
        ("held", "BrokerUnavailable"),
        ("failed", "ValueError"),
        ("held", "CancelledError"),
    ]
    assert [hop.attempt for hop in hops] == [2] * 6
    assert "secret" not in str(hops)


def test_a_call_has_the_status_and_the_id_of_the_service(recorded: Recorded) -> None:
    reply = a_reply("m1:0", in_reply_to="m1")
    trace.called(reply, 2.0, 0.5, None, Work("", status=200, provider_id="wamid.1"))
    trace.called(reply, 3.0, 0.5, RetryableDeliveryError, Work("", status=503))
    hops = recorded()
    assert [(hop.status, hop.provider_id) for hop in hops] == [(200, "wamid.1"), (503, "")]
    assert hops[1].what == "RetryableDeliveryError"
    assert (hops[0].id, hops[0].reply) == ("m1", "m1:0")


MESSAGE = an_inbound("m1", sender_id="ada")
SENT = a_reply("m1:0", recipient_id="ada", in_reply_to="m1")
SECOND = a_reply("m1:1", recipient_id="ada", in_reply_to="m1")
COURSE: list[tuple[str, str, Callable[[], object]]] = [
    ("attempt", "", lambda: trace.begin(MESSAGE, 1)),
    ("reply", "m1:0", lambda: trace.reply(SENT)),
    ("reply", "m1:1", lambda: trace.reply(SECOND)),
    ("turn", "", lambda: trace.turn(MESSAGE, 0.1, 2)),
    ("settled", "", lambda: trace.settled(MESSAGE, "handled")),
    ("attempt", "m1:0", lambda: trace.begin(SENT, 1)),
    ("call", "m1:0", lambda: called(SENT)),
    ("call", "m1:0", lambda: called(SENT)),
    ("settled", "m1:0", lambda: trace.settled(SENT, "handled")),
]
"""Hops: kind, reply, and what records it."""
OTHERS: list[InboundMessage | Reply] = [
    *(an_inbound("m1", sender_id="bob"), an_inbound("m1", sender_id="ada", channel="rest")),
    *(a_reply("m1:0", recipient_id="bob"), a_reply("m1:0", recipient_id="ada", channel="rest")),
]
"""What has one of the ids, and is something else."""


def called(reply: Reply) -> None:
    trace.called(reply, time.time(), 0.1)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_turn_has_the_error_that_rasa_logged(recorded: Recorded, is_recorded: bool) -> None:
    with attempted(MESSAGE, 1) if is_recorded else nullcontext():
        trace.turn(MESSAGE, 0.1, 1, "Failed to run custom action 'a'")
    trace.settled(MESSAGE, "handled")
    hops = recorded()
    (turn,) = [hop for hop in hops if hop.kind == "turn"]
    assert (turn.what, turn.seconds, turn.replies) == ("Failed to run custom action 'a'", 0.1, 1)
    story = story_of([Seen(hop, "worker a") for hop in hops])
    (row,) = [row for row in story.rows if row.name == "turn" and row.state != "missing"]
    assert (row.what, row.state) == ("Rasa logged: Failed to run custom action 'a'", "failed")
    assert story.outcome.endswith(", with an error in its turn")


def kinds(hops: list[Hop]) -> list[tuple[str, str]]:
    return sorted((hop.kind, hop.reply) for hop in hops)


@given(st.sets(st.integers(0, len(COURSE))), st.sets(st.integers(0, len(COURSE) - 1)))
def test_each_hop_is_kept_once_whatever_is_written_or_happens_meanwhile(
    written: set[int], begun: set[int]
) -> None:
    process_hops.on(1)
    found: list[Hop] = []
    try:
        for step, (_, _, happens) in enumerate(COURSE):
            if step in begun:
                for other in OTHERS:
                    trace.begin(other, 1)
            if step in written:
                found += decode(encode("p", hops_now())).all_hops()
            happens()
        found += hops_in()
    finally:
        process_hops.on(-1)
    ours = [hop for hop in found if hop.conversation == "ada" and hop.channel == MESSAGE.channel]
    assert kinds(ours) == sorted((kind, reply) for kind, reply, _ in COURSE)
    assert len(found) - len(ours) == len(begun) * len(OTHERS)
    assert {hop.id for hop in ours} == {"m1"}
    (turn,) = [hop for hop in ours if hop.kind == "turn"]
    assert (turn.seconds, turn.replies) == (0.1, 2)


def hops_now() -> Entries:
    """Return what the next write takes, and take it."""
    process_hops.close_records()
    taken = process_hops.waiting.first(recording.MOST)
    process_hops.written(taken)
    return taken


def test_a_confirm_after_the_write_is_a_hop_for_itself(recorded: Recorded) -> None:
    with enqueued(an_inbound("m1")):
        assert [hop.kind for hop in recorded()] == ["accepted"]
    assert [hop.kind for hop in recorded()] == ["accepted", "confirmed"]
    assert len(process_hops.waiting) == 2


def test_records_take_no_more_room_than_they_may(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "OPEN", 3)
    for number in range(10):
        trace.begin(an_inbound(f"m{number}"), 1)
        trace.begin(a_reply(f"m{number}:0"), 1)
        assert len(process_hops.turned) <= 3
        assert len(process_hops.called) <= 3
    assert len(recorded()) == 20


# ---- writing -------------------------------------------------------------------------------------


async def test_hops_wait_while_the_broker_is_away_and_beyond_the_limit_are_counted() -> None:
    recorded, writer = Recorder(most=3), Writer()
    sender = Sender("worker 1", writer.write, recorded)
    writer.error = BrokerUnavailable("away")
    recorded.turned["m1"] = a_row("m1")
    for n in range(2):
        recorded.add(a_hop("attempt", float(n)))
    with pytest.raises(BrokerUnavailable):
        await sender.flush()
    recorded.turned["m2"] = a_row("m2")
    with pytest.raises(BrokerUnavailable):
        await sender.flush()
    writer.error = None
    await sender.flush()
    (batch,) = [decode(body) for body in writer.bodies]
    assert (batch.process, batch.dropped, len(batch.hops)) == ("worker 1", 2, 2)
    assert [(hop.id, hop.kind) for hop in writer.hops[2:]] == [("m1", "attempt"), ("m1", "turn")]
    assert (len(recorded.waiting), recorded.room, recorded.dropped) == (0, 3, 0)


async def test_a_process_that_ends_writes_its_last_hops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "BATCH", 2)
    recorded, writer = Recorder(), Writer()
    async with sending(Sender("worker 1", writer.write, recorded)):
        assert recorded.is_on
        for n in range(5):
            recorded.add(a_hop("attempt", float(n)))
    assert [hop.at for hop in writer.hops] == [0, 1, 2, 3, 4]
    assert len(writer.bodies) == 3
    assert writer.whole == [b"\n".join(writer.bodies)]
    assert not recorded.is_on


async def test_small_batches_are_written_again_together(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, writer = Recorder(), Writer()
    sender = Sender("worker 1", writer.write, recorded)

    async def wrote(hops: int) -> tuple[int, int]:
        for n in range(hops):
            recorded.add(a_hop("attempt", float(n)))
        await sender.flush()
        return len(writer.bodies), len(writer.whole)

    assert await wrote(1000) == (0, 1), "a large one is not"
    assert await wrote(1) == (1, 1)
    assert await wrote(0) == (1, 1)
    assert await wrote(2) == (2, 1)
    monkeypatch.setattr(recording, "LATEST", 0.0)
    assert await wrote(0) == (2, 2), "it is time"
    assert writer.whole[1] == b"\n".join(writer.bodies)
    assert writer.marks == ["whole", "first", "later", "whole"]
    assert await wrote(0) == (2, 2)
    monkeypatch.setattr(recording, "LATEST", 300.0)
    monkeypatch.setattr(recording, "TOGETHER", len(writer.bodies[0]) + 1)
    assert await wrote(1) == (3, 2)
    assert await wrote(1) == (4, 3), "they are enough"
    assert writer.whole[2] == b"\n".join(writer.bodies[2:])
    assert writer.marks[4] == "first"
    search = Search("m1")
    search.take(writer.whole[2])
    assert [len(hops) for hops in search.messages()] == [1], "the same hop is in both"


async def test_small_batches_that_cannot_be_written_again_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded, writer = Recorder(), Writer()
    sender = Sender("worker 1", writer.write, recorded)
    recorded.add(a_hop("attempt", 1.0))
    await sender.flush()
    monkeypatch.setattr(recording, "LATEST", 0.0)
    writer.error = BrokerUnavailable("away")
    with pytest.raises(BrokerUnavailable):
        await sender.flush()
    writer.error = None
    await sender.flush()
    assert writer.whole == writer.bodies


def test_a_hop_that_is_no_json_is_left_out_and_counted() -> None:
    batch = decode(encode("p", Entries([a_hop("turn", 1.0), a_hop("turn", 2.0, id="\ud800")]), 1))
    assert [hop.at for hop in batch.hops] == [1.0]
    assert batch.dropped == 2
    called = called_row("callback", "ada", "m1", "m1:0", 1, 1.0)
    batch = decode(encode("p", Entries(turned=[a_row("\ud800")], called=[called])))
    assert ([hop.id for hop in batch.all_hops()], batch.dropped) == (["m1"], 2)
    with pytest.raises(MessageError):
        decode(b"{}")


def test_a_batch_of_an_earlier_version_is_read() -> None:
    hops = [a_hop("accepted", 1.0), a_hop("call", 2.0, reply="m1:0", status=200)]
    assert [*decode(earlier_batch("p", hops)).all_hops()] == hops


# ---- searching -----------------------------------------------------------------------------------


def found(wanted: str, *hops: Hop) -> list[list[Hop]]:
    search = Search(wanted)
    for hop in hops:
        search.take(encode("p", Entries([hop])))
    if search.further_ids():
        for hop in hops:
            search.take(encode("p", Entries([hop])))
    return [[seen.hop for seen in message] for message in search.messages()]


def test_a_message_is_found_by_each_of_its_ids_and_by_no_part_of_one() -> None:
    message = (
        a_hop("accepted", 1.0),
        a_hop("reply", 2.0, reply="m1:0"),
        a_hop("call", 3.0, reply="m1:0", provider_id='wamid."1"'),
    )
    other = a_hop("accepted", 0.0, id="m11", conversation="adam")
    for wanted in ("m1", "m1:0", 'wamid."1"', "ada"):
        assert found(wanted, *message, other) == [list(message)], wanted
    for wanted in ("m", "ad", "wamid", "\ud800", "m1:"):
        assert found(wanted, *message, other) == []


def test_a_batch_that_was_written_twice_counts_once() -> None:
    hop = a_hop("accepted", 1.0)
    assert found("m1", hop, hop) == [[hop]]


def test_an_id_that_looks_like_that_of_a_reply_is_preferred_as_it_is() -> None:
    exact, other = a_hop("accepted", 1.0, id="m1:2"), a_hop("accepted", 1.0, id="m1")
    assert found("m1:2", exact, other) == [[exact]]


def test_two_conversations_may_have_the_same_id() -> None:
    first = a_hop("accepted", 1.0), a_hop("settled", 3.0)
    second = a_hop("accepted", 2.0, conversation="bob"), a_hop("settled", 4.0, conversation="bob")
    assert found("m1", *first, *second) == [list(first), list(second)]


def test_a_reply_to_someone_else_belongs_to_its_message() -> None:
    message = a_hop("accepted", 1.0), a_hop("reply", 2.0, reply="m1:0", conversation="boss")
    assert found("m1", *message) == [list(message)]


@given(st.text())
def test_whatever_an_id_contains_it_is_found(id: str) -> None:
    if id:
        assert found(id, a_hop("accepted", 1.0, id=id))


# ---- the story -----------------------------------------------------------------------------------

WHOLE = [
    Seen(a_hop("accepted", 10.0), "webhook 1"),
    Seen(a_hop("confirmed", 10.1), "webhook 1"),
    Seen(a_hop("attempt", 10.5, attempt=1), "worker 1"),
    Seen(a_hop("reply", 11.0, reply="m1:0", what="text"), "worker 1"),
    Seen(a_hop("turn", 11.2, seconds=0.7), "worker 1"),
    Seen(a_hop("settled", 11.3, what="handled"), "worker 1"),
    Seen(a_hop("attempt", 11.5, reply="m1:0", attempt=1), "deliver 1"),
    Seen(a_hop("call", 12.0, reply="m1:0", seconds=0.4, status=200), "deliver 1"),
    Seen(a_hop("settled", 12.1, reply="m1:0", what="handled"), "deliver 1"),
]


def told(story: Story, state: str) -> list[tuple[str, str]]:
    return [(row.name, row.reply) for row in story.rows if row.state == state]


def test_a_whole_story_has_waits_and_durations() -> None:
    story = story_of(WHOLE)
    rows = {(row.name, row.reply): row for row in story.rows}
    assert story.outcome == "handled, 1 reply"
    assert (story.missing, told(story, "open"), told(story, "missing")) == (0, [], [])
    assert rows["confirmed", ""].seconds == pytest.approx(0.1)
    assert rows["waited", ""].seconds == pytest.approx(0.4)
    assert rows["waited", "0"].seconds == pytest.approx(0.5)
    assert rows["attempt 1", ""].seconds == pytest.approx(0.7)
    assert rows["call 1", "0"].what == "HTTP 200"
    assert story.seconds == pytest.approx(2.1)


EXPECTED = [
    *(("accepted", ""), ("confirmed", ""), ("attempt", ""), ("reply", "0")),
    *(("turn", ""), ("settled", ""), ("attempt", "0"), ("call", "0"), ("settled", "0")),
]


@given(st.sets(st.integers(0, len(WHOLE) - 1), min_size=1))
def test_each_hop_is_there_or_marked_whichever_are_lost(lost: set[int]) -> None:
    left = [seen for n, seen in enumerate(WHOLE) if n not in lost]
    if not left:
        return
    story = story_of(left)
    marked = {*told(story, "missing"), *told(story, "open")}
    there = {(row.name.split()[0], row.reply) for row in story.rows}
    knows_reply = any(seen.hop.reply for seen in left)
    for n in lost:
        if knows_reply or not EXPECTED[n][1]:
            assert EXPECTED[n] in marked
    assert there >= {e for n, e in enumerate(EXPECTED) if knows_reply or not e[1]}


def test_an_attempt_without_an_end_before_another_one_was_cut_off() -> None:
    killed = Seen(a_hop("attempt", 10.3, attempt=1), "worker 0")
    story = story_of(sorted([*WHOLE, killed], key=lambda seen: seen.hop.at))
    assert told(story, "missing") == [("attempt 1", "")]


def test_a_turn_does_not_begin_before_its_attempt() -> None:
    turn = Seen(a_hop("turn", 11.2, seconds=0.71), "worker 1")
    names = [row.name for row in story_of([*WHOLE[:4], turn, *WHOLE[5:]]).rows]
    assert names.index("attempt 1") < names.index("turn")


def test_a_message_may_be_delivered_before_its_confirm_arrives() -> None:
    late = Seen(a_hop("confirmed", 10.6), "webhook 1")
    story = story_of([WHOLE[0], WHOLE[2], late, *WHOLE[3:]])
    waits = [(row.at, row.seconds) for row in story.rows if row.name == "waited" and not row.reply]
    assert waits == [(10.0, 0.5)]
    assert (told(story, "missing"), told(story, "open")) == ([], [])


def test_a_dead_letter_and_a_refusal_need_no_further_hops() -> None:
    dead = [*WHOLE[:3], Seen(a_hop("failed", 11.0, what="ValueError", attempt=1), "worker 1")]
    dead += [Seen(a_hop("dead", 11.1, what="failed, ValueError"), "worker 1")]
    dead += [Seen(a_hop("settled", 11.2, what="dead"), "worker 1")]
    story = story_of(dead)
    assert (story.outcome, told(story, "missing"), told(story, "open")) == ("dead-lettered", [], [])
    refused = [WHOLE[0], Seen(a_hop("refused", 10.2, what="BrokerUnavailable"), "webhook 1")]
    story = story_of(refused)
    assert (story.outcome, told(story, "missing"), told(story, "open")) == ("refused", [], [])


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ([("joined", "m3"), ("settled", "handled")], "handled in the turn of m3"),
        ([("settled", "superseded")], "superseded by a newer message"),
        ([("joined", "m3"), ("dead", "failed, ValueError"), ("settled", "dead")], "dead-lettered"),
    ],
)
def test_a_message_without_a_turn_for_itself_misses_none(
    end: list[tuple[str, str]], outcome: str
) -> None:
    hops = [
        Seen(a_hop(kind, 12.0 + n, what=what), "worker 1") for n, (kind, what) in enumerate(end)
    ]
    story = story_of([*WHOLE[:2], *hops])
    assert (story.outcome, told(story, "missing"), told(story, "open")) == (outcome, [], [])


def test_a_reply_in_between_of_which_nothing_is_known_is_missing() -> None:
    last = Seen(a_hop("reply", 11.1, reply="m1:2", what="text"), "worker 1")
    story = story_of(sorted([*WHOLE, last], key=lambda seen: seen.hop.at))
    assert told(story, "missing") == [("reply", "1")]


def test_the_waterfall_fits_into_80_columns() -> None:
    process = "worker " + "h" * 40 + ":123456:abcdef"
    hops = [Seen(seen.hop, process) for seen in WHOLE]
    hops[0] = Seen(msgspec.structs.replace(hops[0].hop, id="i" * 120), process)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(as_waterfall(story_of([hops[0]])))
    console.print(as_waterfall(story_of(hops[1:])))
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any("HTTP 200" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.0126, "13 ms"), (0.9996, "1.00 s"), (12.34, "12.3 s"), (125, "2m05s")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "hop",
    [
        ["accepted", 1e308, "rest", "c", "e1"],
        ["accepted", -1e308, "rest", "c", "e1"],
        ["attempt", 1.7e9, "rest", "c", "e1", "", 2**63],
        ["turn", 1.7e9, "rest", "c", "e1", "", 1, 1e308],
        ["call", 1.7e9, "rest", "c", "e1", "e1:0", 1, 1.0, "", -1],
    ],
    ids=str,
)
def test_a_hop_with_numbers_that_no_process_writes_is_refused(hop: list[Any]) -> None:
    with pytest.raises(MessageError):
        decode(msgspec.json.encode({"process": "p", "hops": [hop]}))


@pytest.mark.parametrize("number", ["²", "٣", "9" * 5000])
def test_a_reply_may_have_any_id(number: str) -> None:
    hops = [a_hop("accepted", 1.0), a_hop("reply", 2.0, reply=f"e1:{number}")]
    assert story_of([Seen(hop, "worker") for hop in hops]).rows


def test_a_terminal_shows_no_control_characters_of_an_id() -> None:
    hop = a_hop("settled", 1.0, what="\x1b[2J[/red]\x9b")
    story = msgspec.structs.replace(story_of([Seen(hop, "\x1b]0;title\x07")]), id="a\r\x1b[2Jb")
    output = io.StringIO()
    Console(file=output, width=200).print(as_waterfall(story))
    assert not [c for c in output.getvalue() if c != "\n" and not c.isprintable()]
