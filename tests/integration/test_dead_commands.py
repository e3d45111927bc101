"""`rasa-bridge dead list`, `show` and `purge`, dry runs, help and wrong usage."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge
from tests.support.cli import run_bridge
from tests.support.dead_letters import SECRET, Dead, talk
from tests.support.fakes import a_reply, an_inbound

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
    for value in ("inbound e1", "ValueError", "ada", "UTC, 2h ago"):
        assert value in ran.stdout
    for value in (SECRET, "words"):
        assert value not in ran.stdout
    assert "ValueError: words" in dead.run("show", "e1", "--text").stdout
    assert f"text          {SECRET}\n" in dead.run("show", "e1", "--text").stdout
    assert f'"text":"{SECRET}"' in dead.run("show", "e1", "--body").stdout
    assert r"\xffgarbage" in dead.run("show", "g1", "--body").stdout


async def test_show_exits_with_1_if_nothing_matches(dead: Dead) -> None:
    await put_some(dead)
    ran = dead.run("show", "unknown")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "no dead letter matches\n")
    assert dead.run("show", "e1", "--flow", "replies").returncode == 1


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
