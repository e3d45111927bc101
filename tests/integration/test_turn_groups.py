"""Turns of several messages, where they meet killed workers, dead letters, replays and a resize."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.support.broker import free_port
from tests.support.cli import run_bridge
from tests.support.dead import dead_letters
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

HANDLER = """
import os

from bridge.errors import MessageError

async def handle(message, output):
    if os.path.exists("broken"):
        raise MessageError("broken")
    ids = ",".join(part.id for part in message.parts)
    if "bob-1" in ids and os.path.exists("deadly"):
        os._exit(1)
    with open("turns", "a") as turns:
        turns.write(f"{message.sender_id} {ids}\\n")
"""
CREDENTIALS = """
callback:
  url: {url}
  turns: collect
  quiet: {quiet}
  max_wait: 60
"""
SENDERS = ("ada", "bob", "cyd")


def collecting(project: Project, service: FakeService, quiet: float) -> tuple[int, Path]:
    """Write the files of a project that collects; return the webhook's port, and the directory."""
    project.write("credentials.yml", CREDENTIALS.format(url=service.url, quiet=quiet))
    project.write("collecting.py", HANDLER)
    return free_port(), project.directory


def turns(directory: Path) -> list[str]:
    """Return a line per turn: its conversation and the ids of its messages, sorted."""
    file = directory / "turns"
    return sorted(file.read_text().splitlines()) if file.exists() else []


def whole(start: int = 0) -> list[str]:
    """Return the turns of three messages of each sender."""
    return [
        f"{sender} {','.join(f'{sender}-{n}' for n in range(start, start + 3))}"
        for sender in SENDERS
    ]


async def say_three(port: int, start: int = 0) -> None:
    """Have each sender send three messages, one after the other."""
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"

    async def say(http: aiohttp.ClientSession, sender: str) -> None:
        for n in range(start, start + 3):
            body, key = {"sender": sender, "message": "hey"}, f"{sender}-{n}"
            async with http.post(url, json=body, headers={"Idempotency-Key": key}) as response:
                assert response.status == 200

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(say(http, sender) for sender in SENDERS))


async def test_a_failed_turn_is_replayed_in_order_and_collected_again(
    project: Project, service: FakeService
) -> None:
    port, directory = collecting(project, service, quiet=1)
    project.write("broken", "")
    await asyncio.gather(project.webhook(port), project.worker("--handler", "collecting:handle"))
    await say_three(port)

    async def all_dead() -> bool:
        ran = await asyncio.to_thread(run_bridge, directory, "dead", "list", "--json")
        return len(ran.stdout.splitlines()) == 9

    await eventually(all_dead)
    letters = await dead_letters(project.broker_url, project.namespace)
    groups = {letter.headers["id"]: letter.headers["group"] for letter in letters}
    assert groups == {f"{sender}-{n}": f"{sender}-2" for sender in SENDERS for n in range(3)}
    (directory / "broken").unlink()
    ran = await asyncio.to_thread(run_bridge, directory, "dead", "replay", "--yes")
    assert ran.stdout == "replayed 9 dead letters\n", ran.stderr
    await eventually(lambda: len(turns(directory)) >= 3)
    assert turns(directory) == whole()


def seen(directory: Path) -> set[str]:
    """Return the ids of the messages that have had a turn."""
    return {id for turn in turns(directory) for id in turn.partition(" ")[2].split(",")}


async def test_a_message_that_kills_the_worker_of_its_turn_is_dead_lettered_and_no_other_is(
    project: Project, service: FakeService
) -> None:
    """The messages of such a turn run one by one from then on."""
    port, directory = collecting(project, service, quiet=0.5)
    project.write("deadly", "")
    await project.webhook(port)
    await say_three(port)
    project.bridge("worker", "--processes", "2", "--handler", "collecting:handle")
    every = {f"{sender}-{n}" for sender in SENDERS for n in range(3)}
    await eventually(lambda: seen(directory) == every - {"bob-1"}, "the others have had a turn")
    (letter,) = await dead_letters(project.broker_url, project.namespace)
    assert (letter.headers["id"], letter.reason.partition(" ")[0]) == ("bob-1", "poison")
    (directory / "deadly").unlink()
    ran = await asyncio.to_thread(run_bridge, directory, "dead", "replay", "--yes")
    assert ran.stdout == "replayed 1 dead letter\n", ran.stderr
    await eventually(lambda: seen(directory) == every)


async def test_a_resize_waits_for_turns_that_wait_for_quiet(
    project: Project, service: FakeService
) -> None:
    port, directory = collecting(project, service, quiet=2)
    webhook, worker = await asyncio.gather(
        project.webhook(port), project.worker("--handler", "collecting:handle")
    )
    await say_three(port)
    command = project.bridge("topology", "resize", "--inbound", "8")
    await command.prints("stop every worker")
    await eventually(lambda: len(turns(directory)) >= 3)
    for process in (worker, webhook):
        process.terminate()
        await process.ends()
    assert await command.ends() == 0, command.log
    head = f"bridge:\n  url: {project.broker_url}\n  namespace: {project.namespace}\n"
    project.write("endpoints.yml", head + "  partitions: {inbound: 8, replies: 2}\n")
    await asyncio.gather(project.webhook(port), project.worker("--handler", "collecting:handle"))
    await say_three(port, start=3)
    await eventually(lambda: len(turns(directory)) >= 6)
    assert turns(directory) == sorted([*whole(), *whole(3)])
