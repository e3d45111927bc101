"""docker-compose.yml, started as a user starts it, with the demo's conversation."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from testcontainers.compose import DockerCompose

from bridge.broker.topology import Topology, partition_of
from tests.support.broker import IMAGE as BROKER_IMAGE, TOP, docker_answers
from tests.support.waiting import eventually

CONVERSATION = TOP / "deploy" / "demo" / "conversation.yml"
PORTS = ("WEBHOOK_PORT", "MONITOR_PORT", "RABBITMQ_MANAGEMENT_PORT")
ROLES = ("webhook", "worker", "deliver", "monitor")

pytestmark = pytest.mark.skipif(not docker_answers(), reason="no Docker engine answers")


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerCompose]:
    """Start every service as a separate project on free ports, and remove it after the test."""
    environment = tmp_path / "env"
    subprocess.run([TOP / "deploy" / "make-env", environment], check=True)
    for name in [n for n in os.environ if n.endswith("_PASSWORD")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"rasa-bridge-test-{secrets.token_hex(4)}")
    for port in PORTS:
        monkeypatch.setenv(port, "0")
    present = subprocess.run(["docker", "image", "inspect", BROKER_IMAGE], capture_output=True)
    if present.returncode == 0:  # the image of the other tests saves a download
        monkeypatch.setenv("RABBITMQ_IMAGE", BROKER_IMAGE)
    with DockerCompose(TOP, build=True, env_file=str(environment)) as running:
        yield running


def run(compose: DockerCompose, *command: str) -> None:
    subprocess.run([*compose.compose_command_property, *command], cwd=TOP, check=True)


async def test_docker_compose_runs_the_demo_enforces_queue_limits_and_stops_cleanly(
    compose: DockerCompose,
) -> None:
    _, port = compose.get_service_host_and_port("webhook", 5005)
    base = f"http://127.0.0.1:{port}/webhooks"
    async with aiohttp.ClientSession() as http:

        async def post(channel: str, message: dict[str, object]) -> str:
            async with http.post(f"{base}/{channel}/webhook", data=json.dumps(message)) as response:
                assert response.status == 200
                return await response.text()

        await post("myio", {"sender": "user1", "message": "hello"})
        for step in yaml.safe_load(CONVERSATION.read_text()):
            message = {"sender": "u1", "message": step["say"], "metadata": step.get("metadata")}
            assert step["expect"] in await post("rest", message)
        await eventually(
            lambda: "This is the ice cream desk" in compose.get_logs("demo-service")[0]
        )

        # At the broker's limits the webhook stops acknowledging, so that the provider sends again.
        run(compose, "stop", "worker")
        huge = json.dumps({"sender": "u2", "message": "x" * 900_000})
        statuses: list[int] = []
        while statuses[-1:] != [503]:
            assert statuses.count(200) == len(statuses) < 100
            async with http.post(f"{base}/myio/webhook", data=huge) as response:
                statuses.append(response.status)
        assert len(statuses) > 50
        await post("myio", {"sender": "u3", "message": "hi"})
        partition = Topology("bridge").inbound_queue(partition_of("u2", 32))
        run(compose, "exec", "-T", "rabbitmq", "rabbitmqctl", "purge_queue", partition)
        run(compose, "start", "worker")
        await post("rest", {"sender": "u2", "message": "hi"})

    # A stopped role finishes its work and exits with code 0.
    await asyncio.to_thread(compose.stop, down=False)
    codes = {c.Service: c.ExitCode for c in compose.get_containers(include_all=True)}
    assert {role: codes[role] for role in ROLES} == dict.fromkeys(ROLES, 0)
