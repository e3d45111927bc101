"""docker-compose.yml and its files, checked as data: no container runs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.broker import TOP

DEPLOY = TOP / "deploy"
TEXT = (TOP / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened_and_its_ports_are_bound_to_loopback(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert "container_name" not in service, "a service with a fixed name cannot be scaled"
    assert all(
        re.match(r"127\.0\.0\.1:|\$\{\w+:-127\.0\.0\.1}:", p) for p in service.get("ports", [])
    )


def test_scalable_services_publish_no_port_on_the_host() -> None:
    assert "ports" not in SERVICES["worker"]
    assert "ports" not in SERVICES["deliver"]


def test_a_missing_secret_is_refused_with_the_command_that_creates_it() -> None:
    used = set(re.findall(r"\$\{(\w+(?:_PASSWORD|_TOKEN))([^}]*)}", TEXT))
    assert used
    assert {message for _, message in used} == {":?run make env"}
    assert {name for name, _ in used} == set(random_in_the_example())


def random_in_the_example() -> list[str]:
    return re.findall(r"^(\w+)=random$", (DEPLOY / "env.example").read_text(), re.MULTILINE)


def test_make_env_writes_every_secret_once_and_keeps_existing_values(tmp_path: Path) -> None:
    file = tmp_path / "env"
    subprocess.run([DEPLOY / "make-env", file], check=True, capture_output=True)
    first = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    values = dict(re.findall(r"^(\w+)=(\w+)$", first, re.MULTILINE))
    assert set(values) == set(random_in_the_example())
    assert len(set(values.values())) == len(values)
    assert all(len(value) == 48 for value in values.values())

    name, value = next(iter(values.items()))
    file.write_text(first.replace(f"{name}={value}\n", ""))
    subprocess.run([DEPLOY / "make-env", file], check=True, capture_output=True)
    again = dict(re.findall(r"^(\w+)=(\w+)$", file.read_text(), re.MULTILINE))
    assert again.pop(name) != values.pop(name)
    assert again == values


def test_the_dashboard_shows_only_documented_metrics() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "bridge.json").read_text())
    shown = {
        name.removesuffix("_bucket").removesuffix("_count")
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"rasa_bridge_\w+", target["expr"])
    }
    table = (TOP / "docs" / "reference" / "metrics.md").read_text()
    assert len(shown) > 12
    assert not [name for name in shown if f"| `{name}` |" not in table]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
