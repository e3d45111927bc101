"""`rasa-bridge topology` and `send` as a user sees them, with a real broker."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

from bridge.broker.connection import connect
from bridge.broker.topology import Topology, partition_of
from bridge.messages import Delivery
from tests.support.cli import only_line, run_bridge
from tests.support.handlers import ECHO
from tests.support.processes import Project
from tests.support.waiting import eventually

CALLBACK = "callback:\n  url: http://127.0.0.1:1/\n"


@pytest.fixture
def channels(project: Project) -> Project:
    project.write("credentials.yml", "rest:\n" + CALLBACK)
    return project


def topology(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_bridge(project.directory, "topology", *arguments)


def test_topology_declare_creates_what_check_misses_and_delete_removes_it(
    channels: Project,
) -> None:
    what = f"6 exchanges and 27 queues of '{channels.namespace}' at amqp://guest@"
    line = only_line(topology(channels, "check"), 1)
    assert "NOT_FOUND" in line
    assert channels.namespace in line
    assert line.endswith("declare it: rasa-bridge topology declare")
    for command, done in (("declare", "declared"), ("declare", "declared"), ("check", "found")):
        ran = topology(channels, command)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith(f"{done}: {what}")
    ran = topology(channels, "delete", "--yes")
    assert (ran.returncode, ran.stdout.partition(":")[0]) == (0, "deleted")
    assert "NOT_FOUND" in only_line(topology(channels, "check"), 1)


async def test_a_queue_with_different_arguments_is_named_with_the_argument(
    channels: Project,
) -> None:
    ours = Topology(channels.namespace, inbound_partitions=4)
    queue = ours.inbound_queues()[2]
    other = replace(queue, arguments={**queue.arguments, "x-delivery-limit": 7})
    async with connect(channels.broker_url, "test") as connection:
        await connection.declare(ours.exchanges, [other], passive=False)
    line = only_line(topology(channels, "declare"), 1)
    assert f"'x-delivery-limit' for queue '{queue.name}'" in line
    assert line.endswith("rasa-bridge topology delete")


@pytest.mark.parametrize("command", ["declare", "check"])
def test_surplus_partitions_are_refused(command: str, channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    text = (channels.directory / "endpoints.yml").read_text()
    channels.write("endpoints.yml", text.replace("inbound: 4", "inbound: 3"))
    line = only_line(topology(channels, command), 1)
    assert line.startswith(f"queue {channels.namespace}.inbound.03 exists")
    assert "give every process the same bridge.partitions" in line


async def test_delete_keeps_a_queue_that_holds_messages_unless_forced(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    ours = Topology(channels.namespace, inbound_partitions=4)
    queue = ours.inbound_queue(partition_of("anna", 4), "high")
    ran = run_bridge(channels.directory, "send", "x", "--sender=anna", "--timeout=0.1")
    assert ran.stdout.startswith("acknowledged in ")

    async def waiting() -> int | None:
        async with connect(channels.broker_url, "test") as connection:
            return await connection.ready_messages(queue)

    await eventually(waiting)
    ran = topology(channels, "delete", "--yes")
    assert ran.returncode == 1
    assert ran.stdout == f"kept because it holds messages: {queue}\n"
    assert await waiting() == 1
    assert topology(channels, "delete", "--yes", "--force").returncode == 0
    assert await waiting() is None


async def test_delete_is_refused_while_a_queue_has_a_consumer(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    ours = Topology(channels.namespace, inbound_partitions=4)
    queue = ours.inbound_queue(partition_of("anna", 4), "high")
    run_bridge(channels.directory, "send", "x", "--sender=anna", "--timeout=0.1")
    held: list[Delivery] = []
    async with connect(channels.broker_url, "test") as connection:
        reading = await connection.consumer_channel(1)
        await reading.consume(queue, held.append)
        await eventually(lambda: bool(held))
        assert await connection.ready_messages(queue) == 0
        line = only_line(topology(channels, "delete", "--yes"), 1)
        assert line == f"{queue} is being consumed; stop the roles first"
        assert topology(channels, "check").returncode == 0
        await reading.close()
    assert "kept because it holds messages" in topology(channels, "delete", "--yes").stdout


def test_delete_asks_for_confirmation_and_does_nothing_without_it(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    ran = topology(channels, "delete")
    assert ran.returncode == 1
    assert f"Delete all empty queues of '{channels.namespace}'" in ran.stdout
    assert topology(channels, "check").returncode == 0


@pytest.mark.parametrize("command", ["declare", "check"])
def test_topology_without_a_broker_is_one_line(command: str, channels: Project, port: int) -> None:
    channels.write("endpoints.yml", f"bridge: {{url: 'amqp://u:s3kr1t@127.0.0.1:{port}/'}}\n")
    line = only_line(topology(channels, command), 1)
    assert line.startswith(f"no broker: amqp://u@127.0.0.1:{port}/: ")
    assert line.endswith("start it, or fix bridge.url")


def test_a_missing_virtual_host_is_one_line_with_the_fix(channels: Project) -> None:
    text = (channels.directory / "endpoints.yml").read_text()
    channels.write("endpoints.yml", text.replace(channels.broker_url, f"{channels.broker_url}nope"))
    line = only_line(topology(channels, "check"), 1)
    assert "/nope: this user cannot open the virtual host 'nope'; create it" in line
    assert "OpenOk" not in line


# ---- send ----------------------------------------------------------------------------------------


def send(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_bridge(project.directory, "send", *arguments)


async def test_send_prints_each_reply_of_a_running_worker(project: Project) -> None:
    project.write("echo.py", ECHO)
    await project.worker("--handler", "echo:handle")
    ran = send(project, "grüß dich", "--metadata", '{"plan": "gold"}')
    assert (ran.returncode, ran.stderr) == (0, "")
    acknowledged, reply = ran.stdout.splitlines()
    assert re.fullmatch(r"acknowledged in \d+\.\d ms", acknowledged)
    assert re.fullmatch(r' *\d+\.\d{3} s  \{"text": "grüß dich"\}', reply)


async def test_send_passes_metadata_and_sender_to_the_turn(project: Project) -> None:
    answer = "f'{message.sender_id} {message.metadata}'"
    project.write("echo.py", ECHO.replace("message.text", answer))
    await project.worker("--handler", "echo:handle")
    ran = send(project, "x", "--sender", "anna", "--metadata", '{"plan": "gold"}')
    assert "anna {'plan': 'gold'}" in ran.stdout


async def test_send_says_when_the_turn_has_no_reply(project: Project) -> None:
    project.write("mute.py", "async def handle(message, output): pass\n")
    await project.worker("--handler", "mute:handle")
    assert send(project, "x").stdout.endswith("\nthe turn ended without a reply\n")


def test_send_without_a_broker_is_one_line(project: Project, port: int) -> None:
    project.write("endpoints.yml", f"bridge: {{url: 'amqp://u:s3kr1t@127.0.0.1:{port}/'}}\n")
    line = only_line(send(project, "x"), 1)
    assert line.startswith(f"no broker: amqp://u@127.0.0.1:{port}/: ")
    assert line.endswith("start it, or fix bridge.url")


def test_send_to_a_broker_with_different_partitions_is_one_line(channels: Project) -> None:
    assert topology(channels, "declare").returncode == 0
    text = (channels.directory / "endpoints.yml").read_text()
    channels.write("endpoints.yml", text.replace("inbound: 4", "inbound: 3"))
    assert "give every process the same bridge.partitions" in only_line(send(channels, "x"), 1)


def test_send_without_a_worker_says_so_after_its_timeout(project: Project) -> None:
    ran = send(project, "x", "--timeout", "0.2")
    assert ran.returncode == 1
    assert ran.stdout.startswith("acknowledged in ")
    assert ran.stderr == (
        "rasa-bridge: accepted, but not answered within 0.2 s; the turn still completes;"
        " check that a worker is running\n"
    )


def test_send_does_not_wait_for_a_turn_that_no_worker_can_run(project: Project) -> None:
    ran = send(project, "x", "--sender", "anna")
    assert ran.stdout.startswith("acknowledged in ")
    assert re.fullmatch(
        rf"rasa-bridge: no worker consumes {project.namespace}\.inbound\.\d\d: the message waits"
        r" there; start one: rasa-bridge worker, or rasa-bridge up\n",
        ran.stderr,
    )
    assert ran.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "name"), [([""], "TEXT"), ([" \n"], "TEXT"), (["x", "--sender="], "--sender")]
)
def test_send_refuses_what_no_channel_would_accept(
    arguments: list[str], name: str, project: Project
) -> None:
    assert only_line(send(project, *arguments), 2).startswith(f"{name} is empty; ")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{plan: gold}", "--metadata is not valid JSON: "),
        ("[1]", "--metadata must be a JSON object"),
    ],
)
def test_send_with_wrong_metadata_is_one_line(
    metadata: str, message: str, project: Project
) -> None:
    assert only_line(send(project, "x", "--metadata", metadata), 2).startswith(message)
