from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from bridge.commands.events_view import as_table
from bridge.monitor.events import Events
from bridge.monitor.problem import clock
from bridge.monitor.roster import Change
from bridge.telemetry.reports import HeldMessages
from tests.unit.monitor.test_compose import FIRST, a_worker


def test_events_fit_80_columns_and_say_when_who_what_and_what_to_do() -> None:
    events = Events(lambda: 50.0)
    name = "worker host-of-a-kubernetes-deployment-6f9c7d5b4-x2v8p:27741:81fd3a"
    dead = a_worker("a", {FIRST: HeldMessages(3, 1.0)}, name=name)
    events.changed(Change("died", dead))
    console = Console(width=80, file=io.StringIO(), highlight=False)
    console.print(as_table(events.all))
    file: Any = console.file
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(clock(50.0))
    whole = "".join(file.getvalue().split())
    for part in ("worker", "redelivers", "supervisor"):
        assert part in whole
