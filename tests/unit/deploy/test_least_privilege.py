"""What each service of Compose can see, and that every image and library is pinned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import bridge
from bridge.connectors.registry import load_channels
from bridge.settings.files import load_credentials

TOP = Path(__file__).resolve().parents[3]
DEPLOY = TOP / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((TOP / "docker-compose.yml").read_text())
BUILT = ("rasa-channel-bridge/edges", "rasa-channel-bridge/worker")
OWN = {"AMQP_URL", "POSTGRES_PASSWORD", "RASA_BRIDGE_MONITOR_TOKEN"}
"""Variables of the roles themselves."""


def variables(service: str) -> set[str]:
    return {*COMPOSE["services"][service].get("environment", {})}


def test_in_compose_only_webhook_and_deliver_get_variables_of_channels() -> None:
    of_channels = set(re.findall(r"\$\{(\w+)\}", (DEPLOY / "demo" / "credentials.yml").read_text()))
    assert of_channels
    for role in ("webhook", "deliver"):
        assert of_channels <= variables(role)
    for service in ("topology", "monitor", "worker"):
        assert variables(service) <= OWN
    assert "POSTGRES_PASSWORD" not in variables("webhook") | variables("deliver")


def test_the_services_without_secrets_know_the_channels_of_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(DEPLOY / "demo")
    monkeypatch.delenv("DEMO_SERVICE", raising=False)
    monkeypatch.syspath_prepend(str(DEPLOY / "demo"))
    channels = load_channels(load_credentials(None, strict=False), role="queues")
    assert [*channels] == ["rest", "callback", "myio"]
    assert [c.name for c in channels.values() if c.has_reply_queues] == ["callback", "myio"]


def images() -> list[str]:
    """Return the images of all files, with the defaults of their variables."""
    compose = [TOP / "docker-compose.yml", *(TOP / "examples").rglob("*.yml")]
    found = []
    for file in [*compose, *DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.Dockerfile")]:
        found += re.findall(r"^\s*(?:- )?(?:image:|FROM) (\S+)", file.read_text(), re.MULTILINE)
    # Those of the chart are rendered in test_helm.
    return [re.sub(r"\$\{\w+:-(.*)\}", r"\1", image) for image in found if image != "{{"]


def test_every_image_is_pinned_to_a_version() -> None:
    assert len(images()) > 15
    for image in images():
        name, _, tag = image.rpartition(":")
        if name in BUILT:
            assert tag == bridge.__version__, image
        assert re.match(r"v?\d+\.\d+\.\d+(-|$)|17\.\d+$", tag), image


@pytest.mark.parametrize("file", ["kubernetes/base", "helm/rasa-bridge/templates"])
def test_a_network_policy_opens_no_pod_of_another_application(file: str) -> None:
    text = (DEPLOY / file / "network.yaml").read_text()
    ours = "  podSelector:\n    matchLabels:\n      app.kubernetes.io/part-of: rasa-bridge\n"
    assert text.count("\nspec:\n") == text.count(f"\nspec:\n{ours}") == 5


@pytest.mark.parametrize("name", ["edges", "worker"])
def test_an_image_installs_pinned_libraries_whose_hashes_are_checked(name: str) -> None:
    text = (DEPLOY / "images" / f"{name}.Dockerfile").read_text()
    (file,) = re.findall(r"--require-hashes -r (\S+\.txt)", text)
    lines = (DEPLOY / "requirements" / file).read_text()
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)(.*)$", lines, re.MULTILINE)
    everything = (DEPLOY / "requirements" / file.replace("-image", "")).read_text()
    assert len(pins) > 30
    for package, version, rest in pins:
        assert rest.endswith("\\"), f"{package} has no hash"
        assert re.search(rf"^{re.escape(package)}=={re.escape(version)}\b", everything, re.M)
    assert not re.search(r"https?://", lines)
