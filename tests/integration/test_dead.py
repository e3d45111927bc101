"""`rasa-bridge dead` as a user sees it: a real broker, real processes, interrupted replays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.broker.channels import ConfirmChannel
from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.topology import DELIVERY_LIMIT, Topology
from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge, reading, scan
from bridge.errors import BrokerUnavailable
from bridge.messages import (
    INBOUND,
    REPLIES,
    TYPES,
    DeadLetter,
    Delivery,
    InboundMessage,
    Reply,
    ReplyTo,
    encode,
)
from tests.support.broker import TOP
from tests.support.cli import run_bridge
from tests.support.fakes import a_reply, an_inbound
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

RECORD = """
import os

async def handle(message, output):
    \"\"\"Answer and record each turn; fail while the file `broken` exists.\"\"\"
    if os.path.exists("broken"):
        raise ValueError("broken")
    await output.send_text_message(message.sender_id, message.text)
    with open("turns", "a") as turns:
        turns.write(f"{message.sender_id} {message.text}\\n")
"""
SECRET = "xyzzy-plugh"


@dataclass
class Dead:
    """A project whose dead letters are written by the test."""

    project: Project
    topology: Topology
    channel: ConfirmChannel

    async def put(
        self, message: InboundMessage | Reply | bytes, *, ago: float = 60, **changes: object
    ) -> None:
        """Dead-letter a message as a role would have done `ago` seconds ago."""
        flow = REPLIES if isinstance(message, Reply) else INBOUND
        known = None if isinstance(message, bytes) else message
        letter = DeadLetter.of(known, ValueError("words"), flow=flow, reason="failed", attempts=7)
        letter = replace(letter, last_at=time.time() - ago, **changes)  # type: ignore[arg-type]
        await self.channel.publish(
            self.topology.dead_exchange,
            flow,
            message if isinstance(message, bytes) else encode(message),
            kind=TYPES[type(message)] if known else flow,
            message_id=letter.id,
            headers=letter.headers(),
            timeout=10,
        )

    async def put_all(self, messages: Iterable[InboundMessage]) -> None:
        """Dead-letter messages, in order per conversation and conversations in parallel."""
        lanes: dict[str, list[InboundMessage]] = defaultdict(list)
        for message in messages:
            lanes[message.sender_id].append(message)

        async def put_lane(lane: list[InboundMessage]) -> None:
            for message in lane:
                await self.put(message)

        await asyncio.gather(*(put_lane(lane) for lane in lanes.values()))

    def run(self, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        return run_bridge(self.project.directory, "dead", *arguments, answer=answer)

    async def ids(self) -> list[str]:
        """Return the ids of all dead letters, in order."""
        url, wanted = self.project.broker_url, Filter()
        among = await dead_letter_queue.depths(url, self.topology, wanted)
        return [letter.id async for letter, _ in scan(url, self.topology, wanted, among)]

    async def depth(self, queue: str) -> int:
        async with connect(self.project.broker_url, "test") as connection:
            return await connection.ready_messages(f"{self.topology.namespace}.{queue}") or 0

    async def waiting(self) -> int:
        """Return the number of messages on the inbound partitions."""
        return sum([await self.depth(f"inbound.{n:02}") for n in range(4)])

    def turns(self) -> list[tuple[str, int]]:
        """Return (conversation, number) of each turn that the handler completed."""
        path = self.project.directory / "turns"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    async def worker(self) -> Process:
        self.project.write("record.py", RECORD)
        return await self.project.worker("--handler", "record:handle", "--retry-for", "0")


@pytest_asyncio.fixture
async def dead(project: Project, service: FakeService) -> AsyncIterator[Dead]:
    project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
    topology = Topology(project.namespace, 4, 2, ("callback",))
    async with connect(project.broker_url, "test") as connection:
        await ensure_topology(connection, topology)
        yield Dead(project, topology, await connection.confirm_channel())


def talk(conversations: int, each: int) -> list[InboundMessage]:
    return [
        an_inbound(f"u{c}-{n}", sender_id=f"u{c}", text=str(n))
        for n in range(each)
        for c in range(conversations)
    ]


def by_conversation(turns: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for conversation, number in turns:
        found[conversation].append(number)
    return dict(found)


# ---- help and wrong usage ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["list", "show", "replay", "purge"])
def test_help_fits_80_columns_and_names_the_filters(name: str, tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, "dead", name, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert max(map(len, ran.stdout.splitlines())) <= 80
    filters = ["flow", "channel", "conversation", "error", "older-than", "newer-than"]
    assert not [f for f in filters if f"--{f}" not in ran.stdout]
    assert name == "show" or "--id" in ran.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ["list", "--older-than", "soon"],
        ["list", "--flow", "outbound"],
        ["list", "--limit", "0"],
        ["show"],
        ["purge", "--newer-than", "10"],
        ["forget"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(wrong: list[str], tmp_path: Path) -> None:
    ran = run_bridge(tmp_path, "dead", *wrong)
    assert ran.returncode == 2
    assert "Usage: rasa-bridge dead" in ran.stderr


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


# ---- list and show -------------------------------------------------------------------------------


async def put_some(dead: Dead) -> None:
    await dead.put(an_inbound("e1", text=SECRET), ago=7200)
    await dead.put(an_inbound("e2", sender_id="bob", channel="slack"), error="KeyError: x")
    await dead.put(b"\xffgarbage", id="g1", reason="undecodable", error="MessageError: x")
    await dead.put(a_reply("e1:0"), reason="rejected", error="RejectedDeliveryError: 400")


FILTERS = {
    "": ["e1", "e2", "g1", "e1:0"],
    "--flow replies": ["e1:0"],
    "--channel slack": ["e2"],
    "--conversation ada --flow inbound": ["e1"],
    "--error keyerr": ["e2"],
    "--older-than 1h": ["e1"],
    "--newer-than 1h": ["e2", "g1", "e1:0"],
    "--id g1": ["g1"],
}


async def test_list_shows_what_matches_the_filters_and_changes_nothing(dead: Dead) -> None:
    await put_some(dead)
    for filters, ids in FILTERS.items():
        ran = dead.run("list", "--json", *filters.split())
        assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == ids, filters
        assert ran.returncode == 0
    assert [await dead.depth(f"dead.{flow}") for flow in ("inbound", "replies")] == [3, 1]


async def test_list_is_a_table_of_80_columns_without_message_texts(
    dead: Dead,
) -> None:
    await put_some(dead)
    ran = dead.run("list")
    assert (ran.returncode, ran.stderr) == (0, "")
    header, first, *rest = [line.split() for line in ran.stdout.splitlines()]
    assert header == ["age", "flow", "channel", "conversation", "reason", "error", "tries", "id"]
    assert first == ["2h", "inbound", "callback", "ada", "failed", "ValueError", "7", "e1"]
    assert len(rest) >= 3
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert SECRET not in ran.stdout
    assert "words" not in ran.stdout


async def test_list_says_how_many_more_there_are(dead: Dead) -> None:
    for n in range(7):
        await dead.put(an_inbound(f"e{n}", sender_id=f"u{n % 2}"))
    ran = dead.run("list", "--limit", "3")
    assert re.findall(r"\be\d\b", ran.stdout) == ["e0", "e1", "e2"]
    assert ran.stdout.endswith("\n4 more: raise --limit to see them\n")
    ran = dead.run("list", "--limit", "1", "--conversation", "u0", "--json")
    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == ["e0"]
    assert ran.stderr == "3 more: raise --limit to see them\n"
    assert "more" not in dead.run("list", "--limit", "7").stdout


async def test_times_are_exact_to_the_second(dead: Dead) -> None:
    """AMQP libraries write floats with 24 bits, which puts a Unix time two minutes off."""
    at = time.time() - 30
    await dead.put(an_inbound("e1"), ago=30)
    (line,) = dead.run("list", "--json").stdout.splitlines()
    assert abs(json.loads(line)["last_at"] - at) < 1


async def test_without_dead_letters_list_says_so(dead: Dead) -> None:
    ran = dead.run("list")
    assert (ran.returncode, ran.stdout) == (0, "no dead letters\n")
    ran = dead.run("list", "--channel", "x")
    assert (ran.returncode, ran.stdout) == (0, "no dead letter matches\n")


async def test_show_prints_the_text_only_on_request(dead: Dead) -> None:
    await put_some(dead)
    ran = dead.run("show", "e1")
    assert ran.returncode == 0
    for value in ("inbound e1", "ValueError: words", "ada", "UTC, 2h ago"):
        assert value in ran.stdout
    assert SECRET not in ran.stdout
    assert f"text          {SECRET}\n" in dead.run("show", "e1", "--text").stdout
    assert f'"text":"{SECRET}"' in dead.run("show", "e1", "--body").stdout
    assert r"\xffgarbage" in dead.run("show", "g1", "--body").stdout


async def test_show_exits_with_1_if_nothing_matches(dead: Dead) -> None:
    await put_some(dead)
    ran = dead.run("show", "unknown")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "no dead letter matches\n")
    assert dead.run("show", "e1", "--flow", "replies").returncode == 1


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


# ---- purge ---------------------------------------------------------------------------------------


async def test_purge_deletes_matching_letters_and_keeps_the_others_in_order(dead: Dead) -> None:
    await dead.put_all(talk(3, 5))
    others = [id for id in await dead.ids() if not id.startswith("u1")]
    ran = dead.run("purge", "--conversation", "u1", "--yes")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "deleted 5 dead letters\n", "")
    assert await dead.ids() == others
    assert len(others) == 10
    assert dead.run("purge", "--yes").stdout == "deleted 10 dead letters\n"
    assert await dead.ids() == []


async def test_purge_says_how_many_and_asks_for_confirmation(dead: Dead) -> None:
    await dead.put_all(talk(2, 3))
    for answer in ("", "n\n"):
        ran = dead.run("purge", "--conversation", "u0", answer=answer)
        assert ran.returncode == 1
        assert "Permanently delete 3 dead letters? [y/N]" in ran.stdout
        assert "deleted" not in ran.stdout
        assert len(await dead.ids()) == 6
    ran = dead.run("purge", "--conversation", "u0", answer="y\n")
    assert (ran.returncode, ran.stdout.endswith("deleted 3 dead letters\n")) == (0, True)
    assert {id[:2] for id in await dead.ids()} == {"u1"}


async def test_purge_deletes_no_more_than_was_confirmed(dead: Dead) -> None:
    """Messages dead-lettered while the question is open were not confirmed."""
    await dead.put_all(talk(1, 3))
    asked = await dead_letter_queue.depths(dead.project.broker_url, dead.topology, Filter())
    await dead.put_all(talk(1, 6)[3:])
    work = Purge(dead.project.broker_url, dead.topology, Filter())
    await work.run(asked, 2, lambda: None)
    assert await dead.ids() == ["u0-2", "u0-3", "u0-4", "u0-5"]


@pytest.mark.parametrize("command", ["purge", "replay"])
async def test_a_dry_run_prints_the_effect_and_changes_nothing(command: str, dead: Dead) -> None:
    await dead.put_all(talk(2, 3))
    before = await dead.ids()
    ran = dead.run(command, "--dry-run", "--conversation", "u0")
    done = {"purge": "delete", "replay": "replay"}[command]
    assert (ran.returncode, ran.stdout) == (0, f"would {done} 3 dead letters\n")
    assert await dead.ids() == before
    assert await dead.waiting() == 0


# ---- replay --------------------------------------------------------------------------------------


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
    assert keys == ["e0:0", "e1:0", "e2:0"]


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
    assert (ran.returncode, ran.stdout) == (0, f"replayed {left} dead letters\n")
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


# ---- one pass over a queue -----------------------------------------------------------------------


async def test_a_pass_with_many_small_consumers_keeps_the_order(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept messages fill one consumer after another; with more than 32, order would be lost."""
    monkeypatch.setattr(dead_letter_queue, "PREFETCH", 1)
    for n in range(200):
        await dead.put(an_inbound(f"e{n}"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    seen = []
    async with reading(url, queue, 200) as messages:
        async for delivery in messages:
            number = int((delivery.message_id or "")[1:])
            seen.append(number)
            if number % 10 == 0:
                await messages.remove(delivery)
            else:
                messages.keep()
    assert seen == list(range(200))
    assert await dead.ids() == [f"e{n}" for n in range(200) if n % 10]


async def test_a_pass_ends_when_another_reader_has_taken_the_rest(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_queue, "IDLE", 0.2)
    await dead.put_all(talk(1, 3))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    async with reading(url, queue, 5) as messages:
        async for _ in messages:
            messages.keep()
    assert messages.unseen == 2
    assert len(await dead.ids()) == 3


async def test_a_pass_waits_until_every_message_is_kept_or_removed(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise messages in flight would be requeued, and replayed twice."""
    monkeypatch.setattr(dead_letter_queue, "IDLE", 0.05)
    await dead.put(an_inbound("e1"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    decided = False

    async def decide(delivery: Delivery) -> None:
        nonlocal decided
        await asyncio.sleep(0.3)
        decided = True
        await messages.remove(delivery)

    async with reading(url, queue, 2) as messages:
        async for delivery in messages:
            task = asyncio.create_task(decide(delivery))
        assert decided
    await task
    assert await dead.ids() == []


async def test_a_queue_deleted_during_a_pass_is_an_error(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_queue, "IDLE", 0.2)
    await dead.put(an_inbound("e1"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"

    async def read() -> None:
        async with reading(url, queue, 2) as messages:
            async for _ in messages:
                messages.keep()
                async with connect(url, "test") as connection:
                    await connection.delete(queue=queue)

    with pytest.raises(BrokerUnavailable, match="was its queue deleted"):
        await read()


async def test_a_scan_that_stops_early_has_requeued_everything_when_it_ends(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next command would see fewer."""
    monkeypatch.setattr(dead_letter_queue, "PREFETCH", 50)
    await dead.put_all(talk(50, 30))
    url, among = dead.project.broker_url, {INBOUND: 1500}
    queue = f"{dead.topology.dead_exchange}.inbound"
    async with connect(url, "test") as connection:
        for _ in range(10):
            async with aclosing(scan(url, dead.topology, Filter(), among)) as found:
                number = 0
                async for _found in found:
                    number += 1
                    if number == 1000:
                        break
            assert await connection.ready_messages(queue) == 1500
