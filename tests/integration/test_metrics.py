"""The roles' metrics match the traffic sent through them: real processes, a real broker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from bridge.broker.topology import partition_of
from tests.support.broker import free_port
from tests.support.cli import only_line, run_bridge, taken
from tests.support.handlers import EVERYTHING
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PARTITIONS = 16
SENDERS = [f"sender {n}" for n in range(40)]
CALLBACK = {"channel": "callback"}
INBOUND = {"flow": "inbound"}
REPLIES = {"flow": "replies", "channel": "callback"}


@dataclass
class Running:
    """All roles, each with a separate metrics port, and a client that counts its messages."""

    http: aiohttp.ClientSession
    service: FakeService
    base: str
    webhook: int
    workers: Sequence[int]
    deliver: int
    said: int = 0
    refused: list[int] = field(default_factory=list)

    async def say(self, text: str, sender: str = "u", *, to: str = "callback", **more: Any) -> None:
        body = {"sender": sender, "message": text, **more}
        async with self.http.post(f"{self.base}/webhooks/{to}/webhook", json=body) as response:
            await response.read()
            if response.status == 200:
                self.said += 1
            else:
                self.refused.append(response.status)

    async def sum(self, name: str, *ports: int, **labels: str) -> float:
        """Return the sum of a metric over processes and over the labels not given."""
        return sum(await asyncio.gather(*(self._one(name, port, labels) for port in ports)))

    async def _one(self, name: str, port: int, labels: dict[str, str]) -> float:
        async with self.http.get(f"http://127.0.0.1:{port}/metrics") as response:
            assert response.status == 200
            text = await response.text()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"rasa_bridge_{name}" and labels.items() <= sample.labels.items()
        )

    async def settled(self, messages: int, replies: int) -> None:
        """Wait until this many messages and replies are acked."""

        async def all_are() -> bool:
            return (
                await self.sum("messages_total", *self.workers, **INBOUND),
                await self.sum("messages_total", self.deliver, **REPLIES),
            ) == (messages, replies)

        await eventually(all_are, f"{messages} messages and {replies} replies are settled")


def ports(count: int, reserved: int = 0) -> int:
    """Return the first of `count` consecutive free ports, none of which is `reserved`."""
    while True:
        first = free_port()
        if reserved in range(first, first + count):
            continue
        try:
            for port in range(first, first + count):
                with taken(port):
                    pass
        except (OSError, OverflowError):
            continue
        return first


@pytest_asyncio.fixture
async def roles(project: Project, service: FakeService, port: int) -> AsyncIterator[Running]:
    project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", endpoints.replace("inbound: 4", f"inbound: {PARTITIONS}"))
    project.write("handlers.py", EVERYTHING)
    first = ports(4, port)
    worker = project.bridge(
        *("worker", "--handler", "handlers:handle", "--retry-for", "1"),
        *("--processes", "2", "--metrics-port", str(first + 1)),
    )
    await asyncio.gather(
        project.webhook(port, "--metrics-port", str(first)),
        worker.prints("consuming", count=2),
        project.deliver("--metrics-port", str(first + 3)),
    )
    async with aiohttp.ClientSession() as http:
        base = f"http://127.0.0.1:{port}"
        yield Running(http, service, base, first, (first + 1, first + 2), first + 3)


async def test_every_role_counts_the_traffic_sent_through_it(roles: Running) -> None:
    def answer(call: Any) -> web.Response:
        return web.json_response({}, status=400 if call.body["text"] == "refuse me" else 200)

    roles.service.answer = answer
    await asyncio.gather(*(roles.say("hello", sender) for sender in SENDERS))
    await roles.say("hello", to="rest")
    for _ in range(2):
        await roles.say("only once", message_id="7")
    await roles.say("refuse me")
    await roles.say("fail", "u2")
    await roles.say("", "u3")
    assert roles.refused == [400]
    replies = len(SENDERS) + 2
    await roles.settled(roles.said, replies)

    webhook, workers, deliver = roles.webhook, roles.workers, roles.deliver
    acknowledged = "acknowledgement_seconds_count"
    assert await roles.sum(acknowledged, webhook, **CALLBACK) == roles.said - 1
    assert await roles.sum(acknowledged, webhook, channel="rest") == 1
    rejected = "requests_rejected_total"
    assert await roles.sum(rejected, webhook, channel="callback", status="400") == 1
    assert await roles.sum(rejected, webhook) == 1

    outcomes = {"handled": roles.said - 2, "repeated": 1, "dead": 1}
    for outcome, count in outcomes.items():
        assert await roles.sum("messages_total", *workers, outcome=outcome) == count
    retries = await roles.sum("retries_total", *workers)
    assert retries >= 1
    assert await roles.sum("turn_seconds_count", *workers) == outcomes["handled"] + retries + 1
    assert await roles.sum("queueing_seconds_count", *workers) == roles.said - 1
    assert await roles.sum("dead_letters_total", *workers) == 1
    assert await roles.sum("dead_letters_total", *workers, flow="inbound", reason="failed") == 1

    assert await roles.sum("delivery_seconds_count", deliver, **CALLBACK) == replies
    assert await roles.sum("queueing_seconds_count", deliver, **REPLIES) == replies
    assert await roles.sum("messages_total", deliver, outcome="handled") == replies - 1
    assert await roles.sum("messages_total", deliver, outcome="dead") == 1
    assert await roles.sum("dead_letters_total", deliver, flow="replies", reason="rejected") == 1

    every_role = (webhook, *workers, deliver)
    assert await roles.sum("connected", webhook, link="publisher") == 1
    assert await roles.sum("connected", webhook, link="collector") == 1
    assert await roles.sum("connected", *workers, link="consumer") == 2
    assert await roles.sum("connected", deliver, link="consumer", channel="callback") == 1
    # One each is for the trace.
    assert await roles.sum("connected", *every_role) == 3 + 2 * 4 + 3
    assert await roles.sum("slots", *workers) == 2 * 16
    for name in ("lanes", "slots_busy", "breaker_open", "publish_failures_total"):
        assert await roles.sum(name, *every_role) == 0
    assert await roles.sum("redeliveries_total", *every_role) == 0


async def test_the_workers_shares_add_up_to_the_partitions_with_messages(
    roles: Running,
) -> None:
    used = len({partition_of(sender, PARTITIONS) for sender in SENDERS[:12]})
    assert 1 < used < PARTITIONS

    async def shared() -> list[float] | None:
        # Repeatedly, because a share covers only the last seconds.
        await asyncio.gather(*(roles.say("hello", sender) for sender in SENDERS[:12]))
        await roles.settled(roles.said, roles.said)
        shares = [await roles.sum("partitions_active", port, **INBOUND) for port in roles.workers]
        return shares if sum(shares) == used else None

    shares = await eventually(shared, f"{used} partitions are shared")
    assert all(0 <= share <= used for share in shares)
    assert await roles.sum("partitions_consumed", *roles.workers, **INBOUND) == 2 * PARTITIONS
    assert await roles.sum("partitions_consumed", roles.deliver, **REPLIES) == 2


async def test_a_service_that_is_down_shows_in_the_breaker_and_lane_metrics(roles: Running) -> None:
    await roles.service.stop()
    await roles.say("hello")

    async def is_open() -> bool:
        return await roles.sum("breaker_open", roles.deliver, **CALLBACK) == 1

    await eventually(is_open)
    assert await roles.sum("lanes", roles.deliver, **REPLIES) == 1
    await roles.service.start()
    await roles.settled(1, 1)
    assert await roles.sum("breaker_open", roles.deliver, **CALLBACK) == 0
    assert await roles.sum("lanes", roles.deliver, **REPLIES) == 0
    assert await roles.sum("queueing_seconds_count", roles.deliver, **REPLIES) == 1


async def test_rejected_requests_are_counted_and_the_public_port_serves_no_metrics(
    roles: Running,
) -> None:
    async with roles.http.get(f"{roles.base}/metrics") as response:
        assert response.status == 404
        assert "rasa_bridge_" not in await response.text()
    await roles.say("x", to="unknown")

    async def counted(channel: str, status: str) -> float:
        return await roles.sum(
            "requests_rejected_total", roles.webhook, channel=channel, status=status
        )

    assert await counted("", "404") == 2
    # The server may close the connection before all of the body is sent.
    with suppress(aiohttp.ClientError, ConnectionError):
        await roles.say("x" * 2 * 1024 * 1024)
    await eventually(lambda: counted("callback", "413"), "a body that is too large is counted")


async def test_up_gives_each_role_the_next_metrics_port(project: Project, port: int) -> None:
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:1/\n")
    project.write("handlers.py", EVERYTHING)
    first = ports(5, port)
    up = project.bridge(
        *("up", "-i", "127.0.0.1", "-p", str(port), "--handler", "handlers:handle"),
        *("--workers", "2", "--metrics-port", str(first), "--monitor-port", str(first + 4)),
    )
    await up.prints("consuming", count=3)
    await up.prints("listening on")
    await up.prints("monitoring ")
    slots = []
    async with aiohttp.ClientSession() as http:
        for at in range(first, first + 5):
            async with http.get(f"http://127.0.0.1:{at}/metrics") as response:
                text = await response.text()
            slots.append("".join(re.findall(r'^rasa_bridge_slots{.*flow="(\w+)"', text, re.M)))
    assert slots == ["", "inbound", "inbound", "replies", ""]


ROLES = {
    "webhook": ["webhook"],
    "worker": ["worker", "--handler", "handlers:handle"],
    "workers": ["worker", "--handler", "handlers:handle", "--processes", "2"],
    "deliver": ["deliver"],
}


@pytest.mark.parametrize("role", ROLES)
def test_a_taken_metrics_port_is_one_line_and_exit_code_2(project: Project, role: str) -> None:
    project.write("credentials.yml", "rest:\n")
    project.write("handlers.py", EVERYTHING)
    first = ports(2)
    with taken(first), taken(first + 1):
        ran = run_bridge(project.directory, *ROLES[role], "--metrics-port", str(first))
    if role == "workers":
        assert ran.returncode == 2
        assert ran.stderr.count("cannot listen on") >= 1
        assert "Traceback" not in ran.stderr
        return
    line = only_line(ran, 2)
    assert line.startswith(f"cannot listen on 127.0.0.1:{first} for metrics: ")
    assert line.endswith("choose another address with --metrics-port or --metrics-host")


def test_more_processes_than_ports_are_refused(project: Project) -> None:
    ran = run_bridge(project.directory, "worker", "--processes", "3", "--metrics-port", "65534")
    assert "3 processes need 3 ports, and 65535 is the last; choose a lower port" in only_line(
        ran, 2
    )
