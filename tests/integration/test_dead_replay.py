"""`rasa-bridge dead replay` with real roles: order, interruptions, and what cannot be replayed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from bridge.broker.arguments import DELIVERY_LIMIT
from bridge.broker.connection import connect
from bridge.messages import (
    Delivery,
    ReplyTo,
    encode,
)
from tests.support.broker import TOP
from tests.support.cli import run_bridge
from tests.support.dead_letters import SECRET, Dead, by_conversation, talk
from tests.support.fakes import a_reply, an_inbound
from tests.support.handlers import ECHO
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually


@pytest.mark.parametrize("name", [["list"], ["show", "x"], ["replay"], ["purge", "--yes"]])
def test_a_missing_queue_or_broker_is_one_line(
    name: list[str], project: Project, port: int
) -> None:
    ran = run_bridge(project.directory, "dead", *name)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(
        f"rasa-bridge: queue {project.namespace}.dead.inbound does not exist; "
    )
    project.write("endpoints.yml", f"bridge: {{url: 'amqp://u:s3kr1t@127.0.0.1:{port}/'}}\n")
    ran = run_bridge(project.directory, "dead", *name)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"rasa-bridge: no broker: amqp://u@127.0.0.1:{port}/: ")


async def test_a_message_dead_lettered_by_the_broker_is_listed_and_can_be_replayed(
    dead: Dead,
) -> None:
    message = an_inbound("e1", text="5")
    key = dead.topology.inbound_key("ada")
    queue = next(q.name for q in dead.topology.inbound_queues() if q.routing_key == key)
    await dead.channel.publish(
        dead.topology.inbound_exchange,
        key,
        encode(message),
        kind="inbound",
        message_id="e1",
        timeout=10,
    )
    async with connect(dead.project.broker_url, "test") as connection:
        for _ in range(DELIVERY_LIMIT + 1):
            got: list[Delivery] = []
            channel = await connection.consumer_channel(1)
            await channel.consume(queue, got.append)
            await eventually(lambda got=got: got, "it is redelivered")
            await channel.close()

    async def dead_lettered() -> bool:
        return await dead.depth("dead.inbound") == 1

    await eventually(dead_lettered)
    (line,) = dead.run("list", "--json", "--newer-than", "5m").stdout.splitlines()
    letter = json.loads(line)
    assert (letter["reason"], letter["error"]) == ("delivery_limit", "DeliveryLimit")
    assert (letter["id"], letter["channel"], letter["conversation"]) == ("e1", "callback", "ada")
    assert letter["queue"] == queue
    assert '"reason": "delivery_limit"' in dead.run("show", "e1").stdout
    await dead.worker()
    assert dead.run("replay").returncode == 0
    await eventually(lambda: dead.turns() == [("ada", 5)])


async def test_replayed_messages_are_handled_in_order_and_their_replies_arrive(
    dead: Dead, service: FakeService
) -> None:
    await dead.put_all(talk(5, 8))
    await asyncio.gather(dead.worker(), dead.project.deliver())
    ran = dead.run("replay", "--yes")
    assert (ran.returncode, ran.stdout) == (0, "replayed 40 dead letters\n")
    await eventually(lambda: len(service.accepted) == 40)
    assert by_conversation(dead.turns()) == {f"u{c}": list(range(8)) for c in range(5)}
    for c in range(5):
        assert service.texts(f"u{c}") == [str(n) for n in range(8)]
    assert await dead.ids() == []


async def test_replay_takes_only_what_matches_the_filters(dead: Dead) -> None:
    await dead.put_all(talk(3, 4))
    await dead.worker()
    assert dead.run("replay", "--yes", "--conversation", "u2").returncode == 0
    assert dead.run("replay", "--id", "u1-2").stdout == "replayed 1 dead letter\n"
    await eventually(lambda: len(dead.turns()) == 5)
    assert by_conversation(dead.turns()) == {"u2": [0, 1, 2, 3], "u1": [2]}
    assert len(await dead.ids()) == 7


async def test_replay_asks_for_confirmation_if_there_is_more_than_one(dead: Dead) -> None:
    await dead.put_all(talk(1, 2))
    for answer in ("", "n\n"):
        ran = dead.run("replay", answer=answer)
        assert ran.returncode == 1
        assert "Replay 2 dead letters? [y/N]" in ran.stdout
        assert len(await dead.ids()) == 2
    assert dead.run("replay", answer="y\n").returncode == 0
    assert await dead.waiting() == 2
    assert dead.run("replay").stdout == "replayed 0 dead letters\n"


async def test_a_replayed_reply_is_delivered_with_its_idempotency_key(
    dead: Dead, service: FakeService
) -> None:
    for n in range(3):
        await dead.put(a_reply(f"e{n}:0", text=str(n)))
    await dead.project.deliver()
    assert dead.run("replay", "--yes", "--flow", "replies").returncode == 0
    await eventually(lambda: len(service.accepted) == 3)
    assert service.texts("ada") == ["0", "1", "2"]
    keys = [call.headers["Idempotency-Key"] for call in service.accepted]
    assert [key.rpartition("-")[0] for key in keys] == ["e0:0", "e1:0", "e2:0"]
    assert {call.headers["X-Redelivered"] for call in service.accepted} == {"true"}


async def test_dead_replies_are_replayed_before_the_turns(dead: Dead, service: FakeService) -> None:
    await dead.put_all(an_inbound(f"e{n}", text=str(n)) for n in range(1, 100))
    await dead.put(a_reply("e0:0", text="0"))
    await dead.worker()
    assert dead.run("replay", "--yes").returncode == 0
    await eventually(lambda: len(dead.turns()) == 99)
    await dead.project.deliver()
    await eventually(lambda: len(service.accepted) == 100)
    assert service.texts() == [str(n) for n in range(100)]


async def test_a_replayed_message_that_fails_again_becomes_a_dead_letter_again(
    dead: Dead,
) -> None:
    """Each is replayed once, even if many fail while the replay still reads the queue."""
    await dead.put_all(talk(20, 15))
    dead.project.write("broken", "")
    await dead.worker()
    ran = dead.run("replay", "--yes")
    assert (ran.returncode, ran.stdout) == (0, "replayed 300 dead letters\n")

    async def back() -> bool:
        return await dead.depth("dead.inbound") == 300

    await eventually(back, "all are dead-lettered again")
    (dead.project.directory / "broken").unlink()
    assert dead.run("replay", "--yes").returncode == 0
    await eventually(lambda: len(dead.turns()) == 300)
    assert by_conversation(dead.turns()) == {f"u{c}": list(range(15)) for c in range(20)}
    assert await dead.ids() == []


async def test_undecodable_letters_are_kept_and_the_others_replayed(dead: Dead) -> None:
    await dead.put(an_inbound("e1", text="1"))
    await dead.put(b"\xffgarbage", id="g1")
    await dead.put(b'{"id": "x", "v": 1}', id="g2")
    await dead.put(an_inbound("e2", text="2"))
    for command, done in (("--dry-run", "would replay"), ("--yes", "replayed")):
        ran = dead.run("replay", command)
        assert ran.returncode == 1
        assert ran.stdout.startswith(f"{done} 2 dead letters\nkept 2 dead letters; ")
        assert "2 undecodable" in ran.stdout
    assert await dead.ids() == ["g1", "g2"]
    assert await dead.waiting() == 2


async def test_after_a_refused_letter_the_rest_of_its_conversation_is_kept(
    dead: Dead,
) -> None:
    """The queue is full. A conversation whose queue has room is replayed."""
    topology = dead.topology
    full = next(q for q in topology.inbound_queues() if q.routing_key == topology.inbound_key("u0"))
    other = next(f"u{n}" for n in range(99) if topology.inbound_key(f"u{n}") != full.routing_key)
    async with connect(dead.project.broker_url, "test") as connection:
        await connection.delete(queue=full.name)
        limited = replace(full, arguments={**full.arguments, "x-max-length": 2})
        await connection.declare((), [limited], passive=False)
    await dead.put_all(talk(1, 20))
    await dead.put(an_inbound("other", sender_id=other))
    ran = dead.run("replay", "--yes")
    assert ran.returncode == 1
    assert "its queue is full" in ran.stdout
    kept = await dead.ids()
    replayed = 20 - len(kept)
    assert kept == [f"u0-{n}" for n in range(replayed, 20)]
    assert 0 < replayed < 20
    assert f"{len(kept) - 1} an earlier message of the conversation was kept" in ran.stdout
    assert ran.stdout.startswith(f"replayed {replayed + 1} dead letters\n")


async def test_a_replayed_request_without_a_client_runs_and_its_replies_are_kept(
    dead: Dead,
) -> None:
    """Nothing is lost, and nothing loops: a replay of the replies keeps them."""
    message = an_inbound(
        "r1", channel="rest", text=SECRET, reply_to=ReplyTo("amq.gen-gone", "ticket")
    )
    await dead.put(message)
    dead.project.write("echo.py", ECHO)
    worker = await dead.project.worker("--handler", "echo:handle")
    ran = dead.run("replay")
    assert ran.returncode == 0
    assert "1 of them were requests whose client no longer waits" in ran.stdout

    async def kept() -> bool:
        return await dead.depth("dead.replies") == 1

    await eventually(kept, "the reply is kept")
    shown = dead.run("show", "r1:0", "--error", "Unroutable", "--text").stdout
    assert SECRET in shown
    ran = dead.run("replay", "--yes")
    assert ran.returncode == 1
    assert "1 no queue is bound for routing key 'rest." in ran.stdout
    assert await dead.ids() == ["r1:0"]
    assert worker.log.count("dead-lettered: ") == 1
    assert dead.run("purge", "--yes", "--error", "Unroutable").returncode == 0
    assert await dead.ids() == []


async def test_a_replay_with_different_partitions_is_refused(dead: Dead) -> None:
    await dead.put(an_inbound("e1"))
    await dead.put(a_reply("e1:0"))
    text = (dead.project.directory / "endpoints.yml").read_text()
    for partitions, flow, problem in (
        ("{inbound: 3, replies: 2}", "inbound", "give every process the same bridge.partitions"),
        ("{inbound: 4, replies: 1}", "replies", "1 no queue is bound for routing key"),
    ):
        changed = text.replace("{inbound: 4, replies: 2}", partitions)
        dead.project.write("endpoints.yml", changed)
        ran = dead.run("replay", "--flow", flow)
        assert ran.returncode == 1
        assert problem in ran.stdout + ran.stderr
    assert await dead.ids() == ["e1", "e1:0"]


async def test_a_killed_replay_that_is_run_again_has_one_effect_per_message(
    dead: Dead, service: FakeService
) -> None:
    await dead.put_all(talk(40, 50))
    await asyncio.gather(dead.worker(), dead.project.deliver())
    killed = dead.project.bridge("dead", "replay", "--yes")
    # More than a replay has in flight, so the first ones have left the dead-letter queue.
    await eventually(lambda: len(dead.turns()) > 100, "the first turns have run")
    killed.kill()
    left = len(await dead.ids())
    assert 0 < left < 2000
    # In a thread: the service runs on this event loop, and a call that it leaves unanswered for
    # 15 s is repeated.
    ran = await asyncio.to_thread(dead.run, "replay", "--yes")
    assert (ran.returncode, ran.stdout) == (0, f"replayed {left:,} dead letters\n")
    await eventually(lambda: len(service.accepted) >= 2000, "every reply arrives", patience=120)
    assert await dead.ids() == []
    assert await dead.waiting() == 0
    assert not [turn for turn, count in Counter(dead.turns()).items() if count > 1]
    expected = {f"u{c}": list(range(50)) for c in range(40)}
    assert by_conversation(dead.turns()) == expected
    assert {c: [int(t) for t in service.texts(c)] for c in expected} == expected


async def test_three_thousand_dead_letters_are_replayed_with_progress_and_bounded_memory(
    dead: Dead,
) -> None:
    body = "x" * 20_000
    await dead.put_all(
        an_inbound(f"u{n % 50}-{n}", sender_id=f"u{n % 50}", text=body) for n in range(3000)
    )
    little, _ = peak(dead, "list", "--limit", "1")
    for arguments, limit in (
        (["list", "--channel", "callback"], 15),
        (["replay", "--yes"], 45),
    ):
        most, errors = peak(dead, *arguments)
        assert most - little < limit, f"{arguments}: {little} MB, then {most} MB; bodies: 60 MB"
    assert "replaying" in errors
    assert "3000/3000" in errors
    assert await dead.waiting() == 3000


def peak(dead: Dead, *arguments: str) -> tuple[float, str]:
    """Run a command to its end; return its peak memory in MB, and its stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "dead", *arguments],
        cwd=dead.project.directory,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr:
        errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, errors
    return usage.ru_maxrss / 1024, errors
