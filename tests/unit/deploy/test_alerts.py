"""Alerts use existing metrics, each has a test and a runbook, and promtool accepts them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from bridge.telemetry import metrics

TOP = Path(__file__).resolve().parents[3]
ALERTS = TOP / "deploy" / "prometheus" / "alerts.yml"
CASES = ALERTS.with_name("alerts_test.yml")
RUNBOOKS = TOP / "docs" / "how-to" / "alerts.md"

TARGET = {"job", "role", "instance", "namespace"}
"""Labels that Prometheus adds to every series."""

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
NAMES = {rule["alert"] for rule in RULES}


def known_series() -> dict[str, set[str]]:
    """Return every series of the bridge with its labels."""
    series: dict[str, set[str]] = {"up": set()}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
            for suffix in suffixes.get(metric._type or "", [""]):
                series[metric._name + suffix] = {*metric._labelnames, "le"}
    return series


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Return the series in an expression, each with the labels that it selects by.

    >>> selectors('sum(rate(up{job="a"}[5m])) == 0')
    [('up', {'job'})]
    """
    found = re.findall(r"\b(up|rasa_bridge_\w+)\b(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*[=!]", labels))) for name, labels in found]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_uses_only_series_and_labels_that_exist(rule: dict[str, Any]) -> None:
    named = selectors(rule["expr"])
    assert named
    for series, labels in named:
        assert series in known_series()
        assert labels <= known_series()[series] | TARGET


def test_every_alert_has_a_summary_a_description_a_severity_and_a_runbook_link() -> None:
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        anchor = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"docs/how-to/alerts.md#{anchor}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    headings = re.findall(r"^## (RasaBridge\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(NAMES)


def test_every_link_between_runbooks_points_to_an_existing_runbook() -> None:
    links = re.findall(r"\]\(#(rasabridge\w*)\)", RUNBOOKS.read_text())
    assert set(links) <= {name.lower() for name in NAMES}


def test_every_alert_has_a_test_that_makes_it_fire() -> None:
    fires = re.findall(r'labels: (?:>-\s+)?ALERTS\{alertname="(\w+)"', CASES.read_text())
    assert set(fires) == NAMES


@pytest.mark.parametrize("arguments", [("check", ALERTS), ("test", CASES)], ids=lambda a: a[0])
def test_promtool_accepts_the_rules_and_their_tests(arguments: tuple[str, Path]) -> None:
    script = TOP / "deploy" / "local" / "promtool.py"
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    if found.returncode == 3:
        pytest.skip(found.stderr.strip())
    verb, file = arguments
    command = [found.stdout.strip(), verb, "rules", str(file)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
