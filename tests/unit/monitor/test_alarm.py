"""Since when the broker has an alarm, as far as it is known."""

from __future__ import annotations

from bridge.monitor.alarm import Alarm

NODE = ["node a has a disk alarm"]


def test_an_alarm_began_when_it_was_first_seen_after_reports_without_one() -> None:
    alarm = Alarm("amqp://127.0.0.1:1/", "reports")
    assert alarm.since(None, 1.0, heard=False) is None
    assert alarm.since(NODE, 2.0, heard=False) is None  # it may have been there before
    assert alarm.since([], 3.0, heard=True) is None
    assert alarm.since(NODE, 4.0, heard=True) == 4.0
    alarm.name = "disk alarm"
    assert alarm.since(None, 5.0, heard=False) == 4.0
    alarm.name = ""
    assert alarm.since(None, 6.0, heard=False) is None
    assert alarm.since(NODE, 7.0, heard=False) is None
