from __future__ import annotations

import msgspec
import pytest

from bridge.monitor import roster
from bridge.monitor.roster import RECOVERY, Roster
from bridge.telemetry.reports import HeldMessages, Report
from tests.unit.monitor.test_compose import FIRST, KEY, a_worker


class Scene:
    """A roster whose processes report every two seconds until they are told to stop."""

    def __init__(self) -> None:
        self.now = 100.0
        self.changes: list[tuple[str, str]] = []
        self.roster = Roster(lambda c: self.changes.append((c.kind, c.report.name[7])))
        self.running: dict[str, Report] = {}

    def run(self, seconds: float, present: int | None) -> None:
        """Let the processes report and the monitor look for some time."""
        end = self.now + seconds
        while self.now < end:
            self.now += 2.0
            for report in self.running.values():
                self.roster.take(report, self.now)
            self.look(present)

    def look(self, present: int | None) -> None:
        self.roster.update({KEY: present}, self.now)

    @property
    def live(self) -> str:
        return "".join(sorted(report.name[7] for report in self.roster.live))


@pytest.fixture
def scene() -> Scene:
    """Three workers; a holds messages of the first queue."""
    scene = Scene()
    for host in "abc":
        held = {FIRST: HeldMessages(3, 70.0)} if host == "a" else {}
        scene.running[host] = a_worker(host, held)
    scene.run(4, present=3)
    scene.changes.clear()
    return scene


def test_as_many_consumers_as_reports_mean_that_all_is_known(scene: Scene) -> None:
    assert scene.live == "abc"
    assert (scene.roster.surplus, scene.roster.unsure, scene.roster.hanging) == ({}, set(), [])


def test_a_killed_process_is_not_believed_from_the_first_look_on(scene: Scene) -> None:
    del scene.running["a"]
    scene.look(present=2)
    assert "worker a:1:ff" in scene.roster.unsure
    scene.run(2, present=2)
    assert scene.roster.unsure == {"worker a:1:ff"}  # the others have reported since
    scene.run(2, present=2)
    assert scene.live == "bc"
    assert scene.roster.unsure == set()
    assert scene.changes == [("died", "a")]
    assert scene.roster.orphans[FIRST].oldest_at == 70.0


def test_the_messages_of_a_dead_process_are_orphans_until_another_one_holds_them(
    scene: Scene,
) -> None:
    del scene.running["a"]
    scene.run(6, present=2)
    assert FIRST in scene.roster.orphans
    scene.running["b"] = a_worker("b", {FIRST: HeldMessages(3, 70.0)})
    scene.run(2, present=2)
    assert scene.roster.orphans == {}


def test_a_process_reports_again_once_although_several_reports_arrive(scene: Scene) -> None:
    stopped = scene.running.pop("a")
    scene.run(8, present=3)
    (hanging,) = scene.roster.hanging
    for _ in range(3):
        scene.roster.take(hanging, scene.now)
    scene.running["a"] = stopped
    scene.run(2, present=3)
    assert scene.changes == [("hangs", "a"), ("reports again", "a")]


def test_an_empty_queue_has_no_orphans_once_every_process_has_reported(scene: Scene) -> None:
    del scene.running["a"]
    scene.run(6, present=2)
    died = scene.roster.orphans[FIRST].since
    scene.roster.forget_settled(FIRST, died + 1)
    assert FIRST in scene.roster.orphans
    scene.roster.forget_settled(FIRST, died + 4)
    assert scene.roster.orphans == {}


def test_a_stopped_process_hangs_as_long_as_it_is_connected(scene: Scene) -> None:
    stopped = scene.running.pop("a")
    scene.run(8, present=3)
    assert scene.live == "bc"
    assert [report.name for report in scene.roster.hanging] == ["worker a:1:ff"]
    assert scene.roster.surplus == {KEY: 1}
    assert scene.changes == [("hangs", "a")]
    scene.run(60, present=3)
    assert scene.roster.surplus_since[KEY] <= scene.now - 60
    scene.running["a"] = stopped
    scene.run(2, present=3)
    assert (scene.live, scene.roster.hanging, scene.roster.surplus) == ("abc", [], {})
    assert scene.changes == [("hangs", "a"), ("reports again", "a")]


def test_a_stopped_process_whose_connection_is_closed_is_dead(scene: Scene) -> None:
    del scene.running["a"]
    scene.run(10, present=3)
    scene.run(2, present=2)
    assert scene.changes == [("hangs", "a"), ("died", "a")]
    assert FIRST in scene.roster.orphans


def test_a_process_that_says_goodbye_did_not_die(scene: Scene) -> None:
    report = scene.running.pop("a")
    scene.roster.take(msgspec.structs.replace(report, ended=True), scene.now)
    scene.run(10, present=2)
    assert (scene.live, scene.changes) == ("bc", [("stopped", "a")])
    assert scene.roster.orphans == {}


def test_processes_without_a_presence_queue_do_not_die_of_it(scene: Scene) -> None:
    """They are of an earlier version, or may not declare it."""
    scene.run(20, present=1)
    assert (scene.live, scene.roster.unsure, scene.changes) == ("abc", set(), [])
    scene.run(20, present=None)
    assert (scene.live, scene.changes) == ("abc", [])


def test_a_process_that_just_connected_is_a_surplus_for_a_moment(scene: Scene) -> None:
    scene.look(present=4)
    assert scene.roster.surplus == {KEY: 1}
    scene.running["d"] = a_worker("d")
    scene.run(2, present=4)
    assert scene.roster.surplus == {}
    assert scene.changes == [("started", "d")]


def test_two_killed_at_once_are_both_found(scene: Scene) -> None:
    del scene.running["a"], scene.running["b"]
    scene.run(6, present=1)
    assert (scene.live, sorted(scene.changes)) == ("c", [("died", "a"), ("died", "b")])


def test_late_reports_are_no_death(scene: Scene) -> None:
    """Without a consumer less, a late report is only late."""
    scene.now += 5
    scene.look(present=3)
    assert (scene.live, scene.changes) == ("abc", [])


def test_a_process_with_another_number_of_partitions_disagrees(scene: Scene) -> None:
    (consuming,) = scene.running["a"].consuming
    for number, disagrees in ((0, False), (32, False), (16, True)):
        changed = msgspec.structs.replace(consuming, partitions=number)
        scene.running["a"] = a_worker("a", consuming=[changed])
        scene.run(2, present=3)
        assert scene.roster.disagrees({"inbound": 32, "replies": 8}) is disagrees


def test_processes_that_connect_again_after_an_outage_of_the_broker_did_not_die(
    scene: Scene,
) -> None:
    running, scene.running = scene.running, {}
    scene.now += 60.0  # the monitor was not connected, either
    scene.roster.reconnected(scene.now)
    assert scene.roster.orphans[FIRST].oldest_at == 70.0
    scene.run(8, present=0)
    scene.run(4, present=2)  # two are connected, and have not reported yet
    assert scene.changes == []
    scene.running = {"b": running["b"], "c": running["c"]}
    scene.run(10, present=2)
    assert (scene.live, scene.changes) == ("bc", [])
    scene.run(RECOVERY, present=2)
    assert scene.changes == [("died", "a")]


def test_invented_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MOST", 3)
    found = Roster()
    for number in range(10):
        found.take(msgspec.structs.replace(a_worker("a"), name=f"worker {number}"), 0.0)
    found.update({}, 0.0)
    assert len(found.live) == 3


def test_during_an_alarm_the_latest_reports_are_kept_and_none_hangs(scene: Scene) -> None:
    scene.running.clear()
    for _ in range(6):
        scene.roster.excuse(scene.now)
        scene.run(2, present=3)
    assert scene.live == ""
    assert scene.roster.hanging == []
    assert sorted(report.name[7] for report in scene.roster.unheard) == ["a", "b", "c"]
    assert scene.changes == []
