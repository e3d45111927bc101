"""`rasa-bridge pause` and `resume`, while messages flow and processes restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.http.client import HttpClient
from tests.integration.test_status import HANDLER, status
from tests.support.cli import run_bridge
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually


@pytest.fixture
def bridge(project: Project, service: FakeService) -> Project:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    return project


async def do(project: Project, *arguments: str) -> str:
    ran = await asyncio.to_thread(run_bridge, project.directory, *arguments)
    assert ran.returncode == 0, ran.stderr
    return str(ran.stdout)


async def say(port: int, sender: str, *texts: str) -> None:
    """Send messages; each is acknowledged with 200, or this raises."""
    async with HttpClient() as http:
        for text in texts:
            body = {"sender": sender, "message": text}
            await http.post_json(f"http://127.0.0.1:{port}/webhooks/callback/webhook", body)


async def depth_of(project: Project, flow: int) -> int:
    found = (await status(project))[1]["flows"][flow]
    return int(found["ready"]) + int(found["unacked"] or 0)


async def paused_with(project: Project, flow: int, depth: int, text: str) -> Any:
    """Wait until so many messages wait in a paused flow, and the problem says so."""

    async def seen() -> bool:
        code, found, problems = await status(project)
        one = found["flows"][flow]
        waiting = one["ready"] + (one["unacked"] or 0)
        return code == 1 and waiting == depth and any(text in line for line in problems)

    await eventually(seen, text)


async def test_a_pause_loses_nothing_and_survives_a_restart(
    bridge: Project, service: FakeService, port: int
) -> None:
    _, deliver, worker = await asyncio.gather(
        bridge.webhook(port), bridge.deliver(), bridge.worker("--handler", "handler:handle")
    )
    said = await do(bridge, "pause", "replies", "callback", "--reason", "migration")
    assert said.strip().endswith("to go on: rasa-bridge resume replies callback")
    await deliver.prints("paused by an operator")
    await say(port, "ada", *["hello"] * 5)
    await paused_with(bridge, 1, 5, "(migration), 5 replies wait")

    deliver.terminate()
    assert await deliver.ends() == 0
    deliver = await restarted(bridge)
    await say(port, "bob", *["hello"] * 5)
    await paused_with(bridge, 1, 10, "(migration), 10 replies wait")
    assert service.calls == []

    await do(bridge, "pause", "inbound")
    await worker.prints("paused by an operator")
    assert "resumed: replies callback" in await do(bridge, "resume", "replies", "callback")
    await eventually(lambda: len(service.calls) == 10)
    await say(port, "ada", *["hello"] * 3)
    await paused_with(bridge, 0, 3, "inbound: paused by")
    assert len(service.calls) == 10

    await do(bridge, "resume", "inbound")
    await eventually(lambda: len(service.calls) == 13)
    assert "was not paused: inbound" in await do(bridge, "resume", "inbound")

    async def well() -> bool:
        code, found, _ = await status(bridge)
        return code == 0 and not found["dead"]["replies"] and not found["flows"][1]["retries"]

    await eventually(well)
    assert await depth_of(bridge, 1) == 0


async def restarted(project: Project) -> Process:
    """Start a deliver process; it knows of the pause before it consumes anything."""
    deliver = await project.deliver()
    log = deliver.log
    assert log.index("paused by an operator") < log.index("consuming")
    return deliver


async def test_an_open_breaker_probes_at_once_if_asked(
    bridge: Project, service: FakeService, port: int
) -> None:
    await service.stop()
    _, deliver, _ = await asyncio.gather(
        bridge.webhook(port), bridge.deliver(), bridge.worker("--handler", "handler:handle")
    )
    for n in range(12):
        await say(port, f"sender {n}", "hello")
    await paused_with(bridge, 1, 12, "next probe in")
    await do(bridge, "pause", "replies", "callback")
    await paused_with(bridge, 1, 12, "no probe while it is paused")
    await do(bridge, "resume", "replies", "callback")
    # The service is still away: otherwise, a probe that is due by itself may find it back first.
    await deliver.prints("an operator asks to probe the service now")
    await service.start()
    await eventually(lambda: len(service.calls) == 12)


async def test_an_operator_without_credentials_can_pause_inbound(bridge: Project) -> None:
    ran = await asyncio.to_thread(run_bridge, bridge.directory, "pause", "inbound")
    assert ran.returncode != 0
    assert "no exchange" in ran.stderr  # no role has run here yet
    assert "no broker" not in ran.stderr
    await do(bridge, "topology", "declare")
    (bridge.directory / "credentials.yml").unlink()
    assert "paused: inbound" in await do(bridge, "pause", "inbound")
    assert "resumed: inbound" in await do(bridge, "resume", "inbound")


async def test_what_cannot_be_paused_is_an_error(bridge: Project) -> None:
    for arguments, said in (
        (("pause", "inbound", "callback"), "inbound cannot be paused for one channel"),
        (("resume", "replies", "slack"), "no channel 'slack' with reply queues"),
    ):
        ran = await asyncio.to_thread(run_bridge, bridge.directory, *arguments)
        assert ran.returncode == 2
        assert said in ran.stderr
