"""The Helm chart, rendered by Helm's own engine, deploys what the kustomize base does."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import bridge
from bridge.cli import COMMANDS
from bridge.connectors.registry import load_channels
from bridge.settings.files import load_credentials
from tests.support.broker import TOP
from tests.unit.deploy.test_kubernetes import KUBERNETES, LOADER, OLDEST, Manifest, build

helm = pytest.importorskip("helm_python", reason="only in the environment without rasa")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

CHART = TOP / "deploy" / "helm" / "rasa-bridge"


@cache
def chart() -> Any:
    return helm.Chart.load(str(CHART))


def rendered(values: dict[str, Any] | None = None, name: str = "demo") -> list[Manifest]:
    texts = chart().render(values=values or {}, name=name, namespace="chat")
    files = [text for path, text in texts.items() if path.endswith(".yaml")]
    return [m for text in files for m in yaml.load_all(text, LOADER) if m]


def named(manifests: list[Manifest], kind: str, prefix: str = "") -> dict[str, Any]:
    """Return the specs of one kind, by the name without the release's."""
    found = [m for m in manifests if m["kind"] == kind]
    return {re.sub(rf"^{prefix}|-1$", "", m["metadata"]["name"]): m["spec"] for m in found}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"}},
        {"networkPolicy": False, "imagePullSecrets": [{"name": "pull"}]},
        {"roles": {"monitor": {"replicas": 0}, "deliver": {"replicas": None}}},
        {"roles": {"monitor": None, "worker": {"resources": None, "secret": ""}}},
        {"ingress": {"enabled": True, "annotations": {"a": True, "b": 1, "c": "x"}}},
        {"images": {"worker": {"repository": "registry.example.com/bot", "tag": 1}}},
    ],
)
def test_every_manifest_is_valid_to_kubernetes(values: dict[str, Any]) -> None:
    for manifest in rendered(values):
        kubernetes_validate.validate(manifest, OLDEST, strict=True)


def comparable(pod: Manifest) -> Manifest:
    """Return a pod's spec without what a release names differently."""
    (container,) = pod["containers"]
    container = {k: v for k, v in container.items() if k != "image"}
    volumes = [v for v in pod["volumes"] if v["name"] != "settings"]
    container["envFrom"] = sorted(container["envFrom"], key=str)
    return {**pod, "containers": [container], "volumes": volumes}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_pod_is_the_same_as_in_the_kustomize_base(kind: str) -> None:
    ours = named(rendered(), kind, "demo-")
    theirs = named(build(KUBERNETES / "base"), kind)
    assert ours.keys() == theirs.keys()
    for name, spec in theirs.items():
        assert comparable(ours[name]["template"]["spec"]) == comparable(spec["template"]["spec"])
        assert ours[name].get("strategy") == spec.get("strategy")
        assert ours[name].get("replicas") == spec.get("replicas")


def test_the_network_policies_are_those_of_the_kustomize_base() -> None:
    ours = named(rendered(), "NetworkPolicy", "demo-")
    assert ours == named(build(KUBERNETES / "base"), "NetworkPolicy")
    assert not named(rendered({"networkPolicy": False}), "NetworkPolicy")


def test_selectors_select_the_pods_of_their_release_only() -> None:
    for name in ("one", "two"):
        manifests = rendered(name=name)
        pods = {m["metadata"]["name"]: m["spec"]["template"] for m in manifests if
                m["kind"] == "Deployment"}  # fmt: skip
        for manifest in manifests:
            if manifest["kind"] in ("Deployment", "PodDisruptionBudget", "Service"):
                selector = manifest["spec"]["selector"]
                wanted = selector.get("matchLabels", selector)
                assert wanted["app.kubernetes.io/instance"] == name
                labels = pods[manifest["metadata"]["name"]]["metadata"]["labels"]
                assert wanted.items() <= labels.items()


def test_the_settings_reach_the_pods_and_restart_them_when_they_change() -> None:
    def checksum(values: dict[str, Any]) -> str:
        webhook = named(rendered(values), "Deployment", "demo-")["webhook"]
        return str(webhook["template"]["metadata"]["annotations"]["checksum/settings"])

    changed = {"settings": {"credentials.yml": "rest:\n  token: ${TOKEN}\n"}}
    (config,) = [m for m in rendered(changed) if m["kind"] == "ConfigMap"]
    assert config["data"]["credentials.yml"] == "rest:\n  token: ${TOKEN}\n"
    assert {*config["data"]} == {"credentials.yml", "endpoints.yml"}
    assert checksum({}) != checksum(changed)


def test_the_chart_has_the_version_of_the_project() -> None:
    facts = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert facts["appVersion"] == bridge.__version__
    (worker,) = named(rendered(), "Deployment", "demo-")["worker"]["template"]["spec"]["containers"]
    assert worker["image"] == f"rasa-channel-bridge/worker:{bridge.__version__}"
    assert {spec["template"]["spec"]["containers"][0]["args"][0]
            for spec in named(rendered(), "Deployment").values()} <= {*COMMANDS}  # fmt: skip


def test_the_channels_of_the_chart_authenticate_their_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = [m for m in rendered() if m["kind"] == "ConfigMap"]
    file = tmp_path / "credentials.yml"
    file.write_text(config["data"]["credentials.yml"])
    monkeypatch.setenv("REST_TOKEN", "t" * 32)
    for channel in load_channels(load_credentials(str(file))).values():
        assert channel.connector.verifies()
        assert not channel.connector.warnings()


def test_every_image_of_the_chart_has_a_version() -> None:
    pods = [m for m in rendered() if m["kind"] in ("Deployment", "Job")]
    images = re.findall(r"'image': '(\S+)'", str(pods))
    assert len(images) == 5
    assert {image.rpartition(":")[2] for image in images} == {bridge.__version__}


def test_each_role_sees_the_secrets_that_it_needs_and_no_other() -> None:
    def secrets(kind: str, name: str) -> set[str]:
        spec = named(rendered(), kind, "demo-")[name]["template"]["spec"]
        found = set(re.findall(r"'?secret(?:Ref|Name|KeyRef)'?: .*?'name': '([\w-]+)'", str(spec)))
        return found - {f"{name}-user-credentials"}

    assert secrets("Deployment", "webhook") == {"bridge-webhook"}
    assert secrets("Deployment", "worker") == {"bridge-trackers"}
    assert secrets("Deployment", "deliver") == {"bridge-deliver"}
    assert secrets("Deployment", "monitor") == secrets("Job", "topology") == set()


def images(values: dict[str, Any]) -> set[str]:
    deployments = named(rendered(values), "Deployment").values()
    return {spec["template"]["spec"]["containers"][0]["image"] for spec in deployments}


@pytest.mark.parametrize(("tag", "written"), [(1, "1"), (20260101, "20260101"), ("v1", "v1")])
def test_a_tag_may_be_a_number(tag: object, written: str) -> None:
    assert f"bot:{written}" in images({"images": {"worker": {"repository": "bot", "tag": tag}}})


def test_no_replicas_are_none_and_a_role_without_settings_is_left_out() -> None:
    stopped = named(rendered({"roles": {"deliver": {"replicas": 0}}}), "Deployment", "demo-")
    assert stopped["deliver"]["replicas"] == 0
    scaled = named(rendered({"roles": {"deliver": {"replicas": None}}}), "Deployment", "demo-")
    assert "replicas" not in scaled["deliver"]
    values = {"roles": {"monitor": None}}
    assert {*named(rendered(values), "Deployment", "demo-")} == {"webhook", "worker", "deliver"}
    notes = chart().render(values=values, name="demo", namespace="chat")
    assert "port-forward" not in notes["rasa-bridge/templates/NOTES.txt"]


def test_names_of_a_long_release_keep_their_ends() -> None:
    manifests = rendered(name="a" * 53)
    names = [m["metadata"]["name"] for m in manifests]
    assert max(map(len, names)) <= 63
    (job,) = [m for m in manifests if m["kind"] == "Job"]
    assert job["metadata"]["name"].endswith("a-topology-1")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"ingres": {"enabled": True}}, "at '': additional properties 'ingres' not allowed"),
        ({"roles": {"workers": {}}}, "at '/roles': additional properties 'workers' not allowed"),
        ({"roles": {"worker": {"replicas": "3"}}}, "at '/roles/worker/replicas': got string"),
        ({"broker": {"address": "rabbitmq:5672"}}, "at '/broker/address': "),
    ],
)
def test_a_mistyped_value_is_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=re.escape(says)):
        rendered(values)
