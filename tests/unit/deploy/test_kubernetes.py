"""Manifests built by kustomize are valid and hardened, and match the code and each other."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.cli import COMMANDS
from bridge.connectors.registry import load_channels
from bridge.connectors.withheld import Role
from bridge.settings.files import load_broker, load_credentials
from tests.support.custom_resources import SPECS, fields

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="only in the environment without rasa"
)
jsonschema = pytest.importorskip("jsonschema")

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
EXAMPLE = KUBERNETES / "example"
DEFINITIONS = DEPLOY / "rabbitmq" / "definitions.json"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OLDEST = "1.30"
"""The oldest Kubernetes with every feature that the manifests use (preStop: sleep)."""

Manifest = dict[str, Any]


def parsed(path: Path) -> Any:
    return yaml.load(path.read_text(), LOADER)


@cache
def build(directory: Path) -> list[Manifest]:
    own = Path(sys.executable).with_name("kubectl")
    kubectl = str(own) if own.exists() else shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl for this system")
    command = [kubectl, "kustomize", str(directory)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return list(yaml.load_all(run.stdout, LOADER))


def built(*kinds: str) -> dict[str, Manifest]:
    """Return the example's manifests of the given kinds, by name."""
    return {m["metadata"]["name"]: m for m in build(EXAMPLE) if m["kind"] in kinds}


def pods() -> dict[str, Manifest]:
    """Return the pod template of each role."""
    return {name: m["spec"]["template"] for name, m in built("Deployment", "Job").items()}


def container(role: str) -> Manifest:
    (only,) = pods()[role]["spec"]["containers"]
    return dict(only)


# valid


def test_every_manifest_of_the_example_is_valid() -> None:
    for manifest in build(EXAMPLE):
        kind = f"{manifest['apiVersion']}/{manifest['kind']}"
        if kind in SPECS:
            named = {name: {"type": "string"} for name in ("apiVersion", "kind")}
            whole = fields({**named, "metadata": {"type": "object"}, "spec": SPECS[kind]})
            jsonschema.validate(manifest, whole)
        else:
            kubernetes_validate.validate(manifest, OLDEST, strict=True)


def test_the_roles_alone_need_no_operator() -> None:
    groups = {manifest["apiVersion"].split("/")[0] for manifest in build(KUBERNETES / "base")}
    assert groups == {"apps", "batch", "networking.k8s.io", "policy", "v1"}


def test_every_kustomization_uses_every_file_beside_it() -> None:
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        text = kustomization.read_text()
        files = {file.name for file in kustomization.parent.iterdir() if file.is_file()}
        assert [f for f in files - {kustomization.name} if not re.search(rf"\b{f}\b", text)] == []


def test_the_prometheus_rule_is_generated_from_the_alerts_file() -> None:
    (rule,) = built("PrometheusRule").values()
    alerts = parsed(DEPLOY / "prometheus" / "alerts.yml")
    assert rule["spec"] == alerts, "run: python3 deploy/kubernetes/alerts.py"


# consistent with each other


def test_prometheus_gives_every_role_the_labels_that_the_alerts_select() -> None:
    (monitor,) = (m["spec"] for m in built("PodMonitor").values())
    (endpoint,) = monitor["podMetricsEndpoints"]
    (relabeling,) = endpoint["relabelings"]
    assert relabeling["targetLabel"] == "role"
    assert relabeling["sourceLabels"] == [
        "__meta_kubernetes_pod_label_app_kubernetes_io_component",
    ]
    asked = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    assert set(re.findall(r'role="(\w+)"', asked)) == set(built("Deployment"))
    for role in built("Deployment"):
        labels = pods()[role]["metadata"]["labels"]
        assert labels[monitor["jobLabel"]] == "rasa-bridge"
        assert labels["app.kubernetes.io/component"] == role
        assert endpoint["port"] in [port["name"] for port in container(role)["ports"]]


def test_every_configmap_and_secret_that_a_pod_uses_exists() -> None:
    there = {*built("ConfigMap", "Secret"), *(f"{user}-user-credentials" for user in built("User"))}
    for role, pod in pods().items():
        names = {v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v}
        names |= {source["secretRef"]["name"] for source in container(role)["envFrom"]}
        assert names <= there
        assert f"{role}-user-credentials" in names


SECRETS = {"worker": "bridge-trackers", "webhook": "bridge-webhook", "deliver": "bridge-deliver"}
"""Role → the Secret that it gets besides its broker user."""


def test_a_role_gets_its_own_secret_and_no_other() -> None:
    for role in pods():
        names = [s["secretRef"]["name"] for s in container(role)["envFrom"]]
        own = [name for name in names if not name.endswith("-user-credentials")]
        expected = [SECRETS[role]] if role in SECRETS else []
        assert [name.rsplit("-", 1)[0] for name in own] == expected


def variables(file: str) -> dict[str, str]:
    lines = (EXAMPLE / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize(
    ("role", "file"), [("webhook", "webhook.env"), ("deliver", "deliver.env"), ("queues", "")]
)
def test_a_role_starts_with_its_own_secret(
    role: Role, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (variables(file) if file else {}).items():
        monkeypatch.setenv(name, value.replace("PUT-YOUR-TELEGRAM-TOKEN-HERE", "1:x"))
    sections = load_credentials(str(EXAMPLE / "credentials.yml"), strict=False)
    assert load_channels(sections, role=role)


def test_the_example_exposes_only_channels_that_verify_their_requests(
    queues: dict[tuple[str, str], list[str]],
) -> None:
    for channel in load_channels(load_credentials(str(EXAMPLE / "credentials.yml"))).values():
        assert channel.connector.verification
        assert channel.connector.verifies()
        assert not channel.connector.warnings()


def test_every_selector_selects_a_pod() -> None:
    labels = [pod["metadata"]["labels"] for pod in pods().values()]
    labels += [{"app.kubernetes.io/name": name} for name in built("RabbitmqCluster")]
    kinds = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor")
    for manifest in built(*kinds).values():
        spec = manifest["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        for key, value in (selector.get("matchLabels") or {}).items():
            assert any(pod.get(key) == value for pod in labels), manifest["metadata"]["name"]


def test_a_scaled_deployment_leaves_its_number_of_replicas_to_its_scaler() -> None:
    scaled = {m["spec"]["scaleTargetRef"]["name"] for m in built("ScaledObject").values()}
    assert scaled == {n for n, m in built("Deployment").items() if "replicas" not in m["spec"]}


def test_broker_users_have_the_same_permissions_and_limits_as_in_compose() -> None:
    compose = json.loads(DEFINITIONS.read_text())
    here = {name: m["spec"]["permissions"] for name, m in built("Permission").items()}
    assert here.pop("keda") == dict.fromkeys(("configure", "write", "read"), "^$")
    assert here == {
        entry["user"]: {right: entry[right] for right in ("configure", "write", "read")}
        for entry in compose["permissions"]
        if entry["user"] != "admin"
    }
    limits = [m["spec"] for m in built("OperatorPolicy").values()]
    assert {p["pattern"]: p["definition"] for p in limits} == {
        p["value"]["pattern"]: p["value"]["definition"] for p in compose["parameters"]
    }


def test_pods_use_the_user_and_the_paths_of_their_images() -> None:
    images = [file.read_text() for file in (DEPLOY / "images").glob("*.Dockerfile")]
    assert images
    for image in images:
        for role, pod in pods().items():
            assert f"USER {pod['spec']['securityContext']['runAsUser']}\n" in image
            probe = container(role).get("readinessProbe", {}).get("exec")
            if probe:
                path = Path(probe["command"][1])
                assert f"/{path.name} {path.parent}/\n" in image


# consistent with the code


@pytest.mark.parametrize("role", ["deliver", "monitor", "topology", "webhook", "worker"])
def test_a_roles_command_accepts_its_arguments(role: str) -> None:
    name, *arguments = container(role)["args"]
    command = importlib.import_module(COMMANDS[name].module).command
    if hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context(name, arguments)  # raises click's error for an invalid argument


def test_a_pod_is_killed_only_after_its_grace_period() -> None:
    for role in ("webhook", "worker", "deliver"):
        (grace,) = (float(a.partition("=")[2]) for a in container(role)["args"] if "--grace=" in a)
        stop = container(role).get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
        patience = pods()[role]["spec"]["terminationGracePeriodSeconds"]
        assert patience >= grace + stop["sleep"]["seconds"] + 15


def test_a_rolling_update_stops_an_old_pod_only_after_its_successor_is_ready() -> None:
    for role in ("webhook", "worker", "deliver"):
        update = built("Deployment")[role]["spec"]["strategy"]["rollingUpdate"]
        assert update == {"maxUnavailable": 0, "maxSurge": 1}
        assert {"readinessProbe", "livenessProbe"} <= set(container(role))


def test_a_pod_has_no_unnecessary_privileges() -> None:
    for role, pod in pods().items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(role)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        resources = container(role)["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert "memory" in resources["limits"]


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], list[str]]:
    """Map (role, channel) to the queues that the role consumes with the example's settings."""
    for name in ("SLACK_TOKEN", "SLACK_SIGNING_SECRET", "TELEGRAM_SECRET"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("POSTGRES_PASSWORD", "x")
    monkeypatch.setenv("TELEGRAM_TOKEN", "1:x")
    monkeypatch.setenv("AMQP_URL", "amqp://localhost/")
    channels = load_channels(load_credentials(str(EXAMPLE / "credentials.yml")))
    delivered = [channel.name for channel in channels.values() if channel.has_reply_queues]
    topology = load_broker(str(EXAMPLE / "endpoints.yml")).topology(delivered)
    return {
        ("worker", ""): [q.name for flow in topology.inbound_flows() for q in flow],
        **{("deliver", c): [q.name for q in topology.reply_queues(c)] for c in delivered},
    }


def test_each_trigger_counts_every_queue_of_its_flow_or_channel(
    queues: dict[tuple[str, str], list[str]],
) -> None:
    names = [name for group in queues.values() for name in group] + ["bridge.dead.inbound"]
    counted = []
    for role, scaled in built("ScaledObject").items():
        for trigger in scaled["spec"]["triggers"]:
            asked = trigger["metadata"]
            matches = [name for name in names if re.search(asked["queueName"], name)]
            counted.append((role, matches))
            assert len(matches) <= int(asked["pageSize"]) <= 500  # RabbitMQ's limit
            assert scaled["spec"]["maxReplicaCount"] <= len(matches)
    assert sorted(counted) == sorted((role, group) for (role, _), group in queues.items())


def test_triggers_query_the_brokers_management_api_and_count_unacked_messages() -> None:
    (cluster,) = built("RabbitmqCluster").values()
    host = "{name}.{namespace}.svc".format_map(cluster["metadata"])
    for scaled in built("ScaledObject").values():
        for trigger in scaled["spec"]["triggers"]:
            asked = trigger["metadata"]
            assert (asked["host"], asked["vhostName"]) == (f"http://{host}:15672/", "/")
            assert (asked["protocol"], asked["useRegex"], asked["operation"]) == (
                "http",
                "true",
                "sum",
            )
            assert asked["excludeUnacknowledged"] == "false"
            assert trigger["authenticationRef"]["name"] in built("TriggerAuthentication")


def test_the_example_contains_no_real_secrets() -> None:
    for file in EXAMPLE.glob("*.env"):
        values = [line.partition("=")[2] for line in file.read_text().splitlines() if "=" in line]
        assert values
        assert all(re.fullmatch(r"PUT-YOUR-[A-Z-]+-HERE", value) for value in values)
