from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from bridge.broker.topology import Depth
from bridge.commands.status_view import as_view, seconds
from bridge.monitor.problem import Problem, each_part
from bridge.monitor.snapshot import Latency, Snapshot
from bridge.telemetry.reports import HeldMessages
from tests.unit.monitor.test_compose import FIRST, KEY, QUEUES, a_worker, see


def shown(snapshot: Snapshot, *problems: str) -> list[str]:
    console = Console(width=80, file=io.StringIO(), highlight=False)
    console.print(as_view(snapshot, [Problem(text, "broker-alarm") for text in problems]))
    file: Any = console.file
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_problems_come_first() -> None:
    assert shown(see(), "out of disk")[0] == "! out of disk"


def test_a_row_shows_depth_unacked_age_rates_and_partitions_with_a_consumer() -> None:
    held = {FIRST: HeldMessages(3, 39.0)}
    depths = {FIRST: Depth(20, 1), "bridge.inbound.03": Depth(0, 0)}
    snapshot = see(a_worker("a", held), depths=depths)
    (row,) = (line for line in shown(snapshot) if line.startswith("inbound"))
    assert row.split() == ["inbound", "23", "3", "1m", "0", "0", "-", "-", "3/4"]


def test_an_unknown_value_is_a_question_mark_and_not_zero() -> None:
    (row,) = (line for line in shown(see(depths={FIRST: Depth(5, 1)})) if "inbound " in line[:8])
    assert row.split() == ["inbound", "≥", "5", "?", "?", "?", "?", "-", "-", "4/4"]


def test_an_unknown_depth_is_a_question_mark() -> None:
    (row,) = (line for line in shown(see()) if "inbound " in line[:8])
    assert row.split()[:3] == ["inbound", "?", "?"]


def test_a_process_that_hangs_is_marked_and_what_it_held_is_a_lower_bound() -> None:
    held = {FIRST: HeldMessages(3, 39.0)}
    snapshot = see(a_worker("b"), hanging=[a_worker("a", held, at=80.0)], surplus={KEY: 1})
    (row,) = (line for line in shown(snapshot) if "inbound " in line[:8])
    assert row.split()[:5] == ["inbound", "≥", "3", "≥", "3"]
    (row,) = (line for line in shown(snapshot) if "worker a:1:ff" in line)
    assert row.endswith(" ? ?/16 silent 20s")


def test_a_problem_of_many_channels_says_how_to_list_them() -> None:
    part = Problem("replies a: HTTP 500", "service-down")
    whole = Problem("replies of 6 channels: HTTP 500", "service-down", parts=[part])
    for lines, is_said in (([whole], True), (each_part([whole]), False)):
        console = Console(width=80, file=io.StringIO(), highlight=False)
        console.print(as_view(see(), lines))
        file: Any = console.file
        assert ("each channel: rasa-bridge status --verbose" in file.getvalue()) is is_said
        assert ("! replies a: HTTP 500\n" in file.getvalue()) is not is_said


def test_notices_come_after_problems() -> None:
    console = Console(width=80, file=io.StringIO(), highlight=False)
    console.print(
        as_view(
            see(),
            [Problem("out of disk", "broker-alarm")],
            [Problem("5 dead letters", "dead-letters")],
        )
    )
    file: Any = console.file
    assert file.getvalue().splitlines()[:3] == [
        "! out of disk",
        "· 5 dead letters",
        "  what to do: docs/how-to/incidents.md #broker-alarm, #dead-letters",
    ]


def test_large_numbers_and_long_names_fit_80_columns() -> None:
    latency = Latency(0.1, 0.999, 61.0)
    many = see(
        a_worker("host-of-a-kubernetes-deployment-6f9c7d5b4-x2v8p"),
        depths=dict.fromkeys(QUEUES, Depth(49_999, 1)),
        waiting_since=dict.fromkeys(QUEUES, 40.0),
    )
    flows = [
        msgspec.structs.replace(f, published=1234.5, settled=999.9, queueing=latency, work=latency)
        for f in many.flows
    ]
    lines = shown(msgspec.structs.replace(many, flows=flows))
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "0 ms"), (0.25, "250 ms"), (1.44, "1.4 s"), (75.0, "1m")]
)
def test_durations_use_their_natural_unit(value: float, text: str) -> None:
    assert seconds(value) == text


def test_the_model_of_a_worker_is_shown_if_any_has_one() -> None:
    webhook = a_worker("x", name="webhook x:1:ff", consuming=[])
    model = "20261126-104512-quick-cat (1a2b3c4d)"
    lines = shown(see(webhook, msgspec.structs.replace(a_worker("a"), model=model)))
    (header,) = (line for line in lines if line.startswith("process"))
    assert header.split()[-1] == "model"
    assert model.replace(" ", "") in "".join("".join(lines).split())
    assert max(map(len, lines)) <= 80
    assert not any("model" in line for line in shown(see(webhook, a_worker("a"))))
