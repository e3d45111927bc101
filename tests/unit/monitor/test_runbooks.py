from __future__ import annotations

import re

import pytest

pytest.importorskip("markdown_it")  # comes with newer versions of rich

from bridge.monitor import problems
from tests.support.broker import TOP
from tests.support.runbooks import PAGE, SOURCE, rendered

SECTIONS = re.findall(r"^## (.+)$", SOURCE.read_text(), re.MULTILINE)


def test_the_monitor_serves_the_runbooks_of_the_documentation() -> None:
    assert PAGE.read_text() == rendered(), "run: python -m tests.support.runbooks"


@pytest.mark.parametrize("file", ["problems.py", "page/overview.js"])
def test_every_problem_has_a_runbook(file: str) -> None:
    text = (TOP / "bridge" / "monitor" / file).read_text()
    if file == "problems.py":
        named = re.findall(r'"([a-z]+(?:-[a-z]+)+|paused)"', text)
    else:
        named = re.findall(r'runbook: "(.+?)"', text)
    named = [name for name in named if name != problems.RUNBOOKS]
    assert named
    assert set(named) <= set(SECTIONS)
