"""The figures of `status` and the monitor while processes hang, are killed, or disagree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bridge.broker.connection import Connection, connect
from bridge.broker.topology import Topology
from bridge.errors import PartitionsDiffer
from bridge.monitor.observer import CHECK_AFTER, Observer
from bridge.monitor.snapshot import Flow, Snapshot
from tests.integration.test_status import HANDLER, say, status
from tests.support.broker import free_port
from tests.support.cli import run_bridge
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually


@pytest.fixture
def bridge(project: Project, service: FakeService) -> Project:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    return project


def topology_of(project: Project) -> Topology:
    return Topology(project.namespace, 4, 2, ["callback"])


async def worker(project: Project) -> Process:
    return await project.worker("--handler", "handler:handle")


async def test_replies_that_a_stopped_deliver_holds_are_not_shown_as_none(
    bridge: Project, port: int
) -> None:
    _, deliver, _ = await asyncio.gather(bridge.webhook(port), bridge.deliver(), worker(bridge))

    async def reported() -> bool:
        return len((await status(bridge))[1]["processes"]) == 3

    await eventually(reported)
    deliver.freeze()
    await say(port, *["hello"] * 20)
    code, found, problems = await status(bridge)
    assert code == 1
    assert any(
        line.startswith("replies callback: 1 of 1 consumer does not report since")
        for line in problems
    )
    replies = found["flows"][1]
    assert replies["depth_at_least"]
    ran = await asyncio.to_thread(run_bridge, bridge.directory, "status")
    (row,) = [line for line in ran.stdout.splitlines() if line.startswith("replies callback ")]
    assert row.split()[2] in ("?", "≥")


async def test_one_of_two_workers_that_hangs_is_noticed(bridge: Project, port: int) -> None:
    _, frozen, _ = await asyncio.gather(bridge.webhook(port), worker(bridge), worker(bridge))

    async def reported() -> bool:
        return len((await status(bridge))[1]["processes"]) == 3

    await eventually(reported)
    frozen.freeze()

    async def noticed() -> bool:
        code, found, problems = await status(bridge)
        named = any("inbound: 1 of 2 consumers does not report" in line for line in problems)
        return code == 1 and named and bool(found["flows"][0]["depth_at_least"])

    await eventually(noticed)


async def watched(
    observer: Observer, connection: Connection, until: Callable[[Snapshot], bool]
) -> list[Flow]:
    """Look again and again until a condition holds; return the inbound flow of each look."""
    seen: list[Flow] = []

    async def reached() -> bool:
        snapshot = await observer.look(connection)
        seen.append(snapshot.flows[0])
        return until(snapshot)

    await eventually(reached)
    return seen


async def test_a_kill_counts_no_message_twice_and_makes_none_younger(
    bridge: Project, port: int
) -> None:
    _, killed, _ = await asyncio.gather(bridge.webhook(port), worker(bridge), worker(bridge))
    await say(port, *["wait"] * 12)
    changes: list[str] = []
    observer = Observer(
        bridge.broker_url, topology_of(bridge), changed=lambda c: changes.append(c.kind)
    )
    async with connect(bridge.broker_url, "test") as connection:
        channel = await observer.listen(connection)
        assert channel is not None

        def is_known(snapshot: Snapshot) -> bool:
            flow = snapshot.flows[0]
            return (flow.unacked, flow.depth_at_least) == (12, False)

        await watched(observer, connection, is_known)
        killed.kill()
        seen = await watched(observer, connection, lambda s: "died" in changes and is_known(s))
        assert max(flow.depth for flow in seen) <= 12
        ages = [flow.oldest_age or 0.0 for flow in seen]
        assert all(later >= earlier - 0.05 for earlier, later in pairwise(ages))
        assert "stopped" not in changes
        bridge.write("go", "")
        await channel.close()


async def test_a_process_that_ends_as_asked_did_not_die(bridge: Project, port: int) -> None:
    ending, _ = await asyncio.gather(worker(bridge), worker(bridge))
    changes: list[str] = []
    observer = Observer(
        bridge.broker_url, topology_of(bridge), changed=lambda c: changes.append(c.kind)
    )
    async with connect(bridge.broker_url, "test") as connection:
        channel = await observer.listen(connection)
        assert channel is not None
        await watched(observer, connection, lambda s: len(s.processes) == 2)
        ending.terminate()
        seen = await watched(observer, connection, lambda s: len(s.processes) == 1)
        assert seen
        assert "stopped" in changes
        assert "died" not in changes
        await channel.close()


@pytest.mark.parametrize("inbound", [3, 6])
async def test_other_numbers_of_partitions_are_refused(bridge: Project, inbound: int) -> None:
    declared = await asyncio.to_thread(run_bridge, bridge.directory, "topology", "declare")
    assert declared.returncode == 0, declared.stderr
    text = (bridge.directory / "endpoints.yml").read_text()
    bridge.write("endpoints.yml", text.replace("inbound: 4", f"inbound: {inbound}"))
    for command in (("status",), ("monitor", "-p", str(free_port()))):
        ran = await asyncio.to_thread(run_bridge, bridge.directory, *command)
        assert ran.returncode == 1
        assert "bridge.partitions" in ran.stderr


async def test_a_resize_is_noticed_while_no_process_has_the_new_number(bridge: Project) -> None:
    """Else the monitor would say to start a worker, which its old number would refuse."""
    declared = await asyncio.to_thread(run_bridge, bridge.directory, "topology", "declare")
    assert declared.returncode == 0, declared.stderr
    now = 1000.0
    observer = Observer(bridge.broker_url, topology_of(bridge), clock=lambda: now)
    async with connect(bridge.broker_url, "test") as connection:
        await observer.look(connection)
        resized = ("topology", "resize", "--inbound", "6")
        ran = await asyncio.to_thread(run_bridge, bridge.directory, *resized)
        assert ran.returncode == 0, ran.stderr
        await observer.look(connection)
        now += CHECK_AFTER
        with pytest.raises(PartitionsDiffer):
            await observer.look(connection)


async def test_the_monitor_lists_events_for_status(bridge: Project, port: int) -> None:
    killed, _ = await asyncio.gather(worker(bridge), worker(bridge))
    monitor_port = free_port()
    monitor = bridge.bridge("monitor", "-p", str(monitor_port))
    await monitor.prints(f"on http://127.0.0.1:{monitor_port}/")
    asked = ("status", "--events", "--monitor-url", f"http://127.0.0.1:{monitor_port}")

    async def started() -> bool:
        ran = await asyncio.to_thread(run_bridge, bridge.directory, "status", "--json")
        return len(json.loads(ran.stdout)["processes"]) == 2

    await eventually(started)
    killed.kill()

    async def died() -> Any:
        ran = await asyncio.to_thread(run_bridge, bridge.directory, *asked, "--json")
        assert ran.returncode == 0, ran.stderr
        return [event for event in json.loads(ran.stdout) if event["kind"] == "died"]

    (event,) = await eventually(died)
    assert event["subject"].startswith("worker ")
    printed = await asyncio.to_thread(run_bridge, bridge.directory, *asked)
    assert "killed, or lost its connection" in " ".join(printed.stdout.split())
    status = ("status", *asked[2:])
    shown = await asyncio.to_thread(run_bridge, bridge.directory, *status)
    assert "1 process died in the last 15 minutes" in shown.stdout
    bridge.write("endpoints.yml", f"bridge:\n  url: {bridge.broker_url}\n  namespace: other\n")
    other = await asyncio.to_thread(run_bridge, bridge.directory, *asked)
    assert other.returncode == 1
    assert "it watches another namespace" in other.stderr
    monitor.terminate()
    assert await monitor.ends() == 0
    refused = await asyncio.to_thread(run_bridge, bridge.directory, *asked)
    assert refused.returncode == 1
    assert "start it (rasa-bridge monitor)" in refused.stderr
