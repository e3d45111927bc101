"""The monitor's page in a real browser: live data, and the buttons for dead letters."""

from __future__ import annotations

import asyncio
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.test_dead_stops import LETTERS, ids_of_all
from tests.support.broker import free_port, make_broker
from tests.support.browser import Page, browsing, chromium
from tests.support.dead_letters import Dead, talk
from tests.support.fakes import an_inbound
from tests.support.load import HANDLER
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.skipif(not chromium(), reason="no Chromium: deploy/local/setup browser"),
    pytest.mark.skipif(
        find_spec("rasa") is not None, reason="the page does not depend on the Python: tested once"
    ),
]

TOKEN = "a token of enough length"
LINES = (
    "[...document.querySelectorAll('#charts figure:nth-child({}) .line')]"
    ".map(line => line.getAttribute('d')).join()"
)
OUT = "+document.querySelector('#queues tr:nth-child(2) td:nth-child(6)').innerText"
TOO_WIDE = (
    "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right >"
    " innerWidth + 1 && getComputedStyle(e).clipPath === 'none').map(e => e.outerHTML.slice(0, 99))"
)


def refuse(call: Any) -> web.Response:
    return web.json_response({}, status=400 if call.body["text"].startswith("refuse") else 200)


async def say(system: System, text: str) -> None:
    url = f"http://127.0.0.1:{system.ports[0]}/webhooks/callback/webhook"
    body = {"sender": "ada", "message": text}
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        assert response.status == 200


async def start(project: Project, port: int) -> Process:
    monitor = project.bridge("monitor", "-p", str(port), env={"RASA_BRIDGE_MONITOR_TOKEN": TOKEN})
    await monitor.prints(f"on http://127.0.0.1:{port}/")
    return monitor


async def log_in(page: Page) -> None:
    await page.sees("document.getElementById('login')")
    await page.run(f"document.getElementById('token').value = '{TOKEN}'")
    await page.click("#login .primary")
    await page.sees("document.querySelector('#health h2')?.innerText === 'No problems'")


async def click_until(page: Page, selector: str, seen: str) -> None:
    """Click until the page shows what follows: it moves as data arrive, so a click may miss."""

    async def follows() -> bool:
        await page.click(selector)
        return bool(await page.run(seen))

    await eventually(follows, f"{selector}: {seen}")


async def search(page: Page, result: str) -> None:
    """Search the dead letters repeatedly, until the page shows this result."""

    async def found() -> bool:
        await page.click("#filter .primary")
        await page.sees("!document.body.classList.contains('busy')")
        return result in await page.text("#result")

    await eventually(found, result)


async def test_the_page_shows_live_data_and_replays_and_purges_dead_letters(
    project: Project, service: FakeService
) -> None:
    system = System(project, service)
    service.answer = refuse
    await system.start(workers=2)
    port = free_port()
    monitor = await start(project, port)
    async with browsing() as page:
        await page.size(1440, 900)
        await page.open(f"http://127.0.0.1:{port}/")
        await log_in(page)
        await check_live_data(page, system)
        await check_replay(page, system, service)
        await check_purge(page, system)
        await check_pause(page)
        await check_trace(page, system)
        await check_narrow_windows(page)
        await check_accessibility(page)
        assert page.errors == []
        assert {url.split("/")[2] for url in page.requests} == {f"127.0.0.1:{port}"}

        monitor.kill()
        await page.sees("document.getElementById('news').innerText.startsWith('no update')")
        await start(project, port)
        await page.sees("document.getElementById('news').innerText.startsWith('live')")


async def test_a_replay_is_stopped_and_one_cause_is_purged_on_the_page(dead: Dead) -> None:
    messages = talk(100, LETTERS // 100)
    await dead.put_all(messages)
    for number in range(3):
        await dead.put(an_inbound(f"refused-{number}", sender_id="ada"), status=403)
    port = free_port()
    monitor = dead.project.bridge("monitor", "-p", str(port))
    await monitor.prints(f"on http://127.0.0.1:{port}/")
    async with browsing() as page:
        await page.size(1440, 900)
        await page.open(f"http://127.0.0.1:{port}/")
        await page.sees("document.getElementById('news')?.innerText.startsWith('live')")
        row = (
            "[...document.querySelectorAll('#causes tbody tr')]"
            ".findIndex(tr => tr.innerText.includes('HTTP 403')) + 1"
        )

        async def grouped() -> int:
            await page.click("#by-cause")
            await page.sees("!document.body.classList.contains('busy')")
            return int(await page.run(row))

        number = await eventually(grouped)
        asks = "document.getElementById('confirm').open"
        await click_until(page, f"#causes tbody tr:nth-child({number}) button:last-child", asks)
        assert await page.text("#question") == "Permanently delete 3 dead letters?"
        await page.click("#confirm button[value=yes]")
        await page.sees("document.getElementById('result').innerText.startsWith('Deleted 3 dead')")
        assert sorted(await dead.ids()) == sorted(message.id for message in messages)
        # The groups that are left are shown again.
        assert await page.run(row) == 0

        await click_until(page, "#replay-all", asks)
        assert await page.text("#question") == f"Replay {LETTERS:,} dead letters?"
        await page.click("#confirm button[value=yes]")
        await page.sees("!document.getElementById('stop-pass').hidden")
        done = "/^Replayed/.test(document.getElementById('result').innerText)"
        await click_until(page, "#stop-pass", done)
        said = await page.text("#result")
        told = re.fullmatch(r"Replayed ([\d,]+) dead letters?; stopped: ([\d,]+) left\.", said)
        assert told, said
        replayed, left = (int(number.replace(",", "")) for number in told.groups())
        assert replayed + left == LETTERS
        assert left > 0
        assert await page.run("document.getElementById('stop-pass').hidden")
        assert await dead.waiting() == replayed
        assert await ids_of_all(dead) == sorted(message.id for message in messages)
        assert page.errors == []


async def check_live_data(page: Page, system: System) -> None:
    cells = "[...document.querySelectorAll('.cell')]"
    assert await page.run(f"{cells}.length") == 4 + 2
    async with system.load.running(conversations=20, rate=40):
        for figure in (3, 4, 5, 6):  # rates, acknowledgement, turn, delivery
            lines = LINES.format(figure)
            before = await page.run(lines)
            await page.sees(f"{lines}.length > {len(before)} + 20")
        await page.sees(f"{cells}.some(e => /^c\\d/.test(e.classList[1]) && +e.innerText > 0)")
        await page.sees(f"{OUT} > 5")
    workers = f"new Set({cells}.slice(0, 4).map(e => e.classList[1]))"
    assert await page.run(f"{workers}.size <= 2 && !{workers}.has('alone')")


async def check_replay(page: Page, system: System, service: FakeService) -> None:
    await say(system, "refuse/1")
    await search(page, "1 dead letter.")
    assert "refuse" not in await page.text("body")
    await page.click("#letters tbody button:first-child")
    await page.sees("document.getElementById('letter').open")
    # A service's error may quote the user, so it is part of the text; its status may not.
    assert (await page.text("#letter")).count("HTTP 400") == 1
    assert "refuse" not in await page.text("#letter")
    await page.click("#show-text")
    await page.sees("document.getElementById('letter').innerText.includes('refuse/1')")
    assert (await page.text("#letter")).count("HTTP 400") == 2
    await page.click("#close-letter")
    await page.sees("!document.body.textContent.includes('refuse')")
    service.answer = lambda call: web.json_response({})
    await page.click("#letters tbody button:last-child")
    await page.sees("document.getElementById('result').innerText === 'Replayed 1 dead letter.'")
    await eventually(lambda: "refuse/1" in service.texts("ada"))
    service.answer = refuse


async def check_purge(page: Page, system: System) -> None:
    await say(system, "refuse/2")
    await search(page, "1 dead letter.")
    for answer in ("no", "yes"):
        await page.click("#purge-all")
        await page.sees("document.getElementById('confirm').open")
        assert await page.text("#question") == "Permanently delete 1 dead letter?"
        await page.click(f"#confirm button[value={answer}]")
        await page.sees("!document.getElementById('confirm').open")
        if answer == "no":
            await search(page, "1 dead letter.")
    await page.sees("document.getElementById('result').innerText === 'Deleted 1 dead letter.'")
    await search(page, "No dead letters found.")


async def check_pause(page: Page) -> None:
    await page.click("#queues tbody tr:nth-child(2) button")
    await page.sees("document.getElementById('confirm').open")
    assert (await page.text("#question")).startswith("Pause replies callback?")
    await page.click("#confirm button[value=yes]")
    await page.sees("document.querySelector('#health li span')?.innerText.includes('paused by')")
    link = "document.querySelector('#health li a').href"
    assert (await page.run(link)).endswith("/page/runbooks.html#paused")
    await page.click("#health li .buttons button")
    await page.sees("document.querySelector('#health h2').innerText === 'No problems'")


async def check_trace(page: Page, system: System) -> None:
    """The hops of one message; they stay on the page for the checks of narrow windows."""
    latest = system.load.ledger.acknowledged[-1]
    message = f"{latest.conversation}/{latest.number}"

    async def finds(wanted: str, result: str) -> bool:
        await page.run(f"document.querySelector('#trace-form input').value = '{wanted}'")
        await page.click("#trace-form .primary")
        done = "document.getElementById('trace-result').innerText.endsWith('.')"
        await page.sees(done)
        return (await page.text("#trace-result")).startswith(result)

    await eventually(lambda: finds("nothing", "Nothing found"))
    for wanted in (message, f"{message}:0"):
        await eventually(lambda wanted=wanted: finds(wanted, "1 message found"))
        assert await page.text("#trace-found h3") == message
    rows = "[...document.querySelectorAll('#trace-found tbody tr')].map(tr => tr.innerText)"
    rows = f"{rows}.join(' ')"
    text = await page.run(rows)
    for hop in ("accepted", "confirmed", "waited", "attempt 1", "turn", "call 1 :0", "HTTP 200"):
        assert hop in text
    assert "missing" not in text


async def check_narrow_windows(page: Page) -> None:
    for width, scheme in ((390, "dark"), (820, "light"), (1280, "dark")):
        await page.size(width, 844)
        await page.scheme(scheme)
        await page.sees(f"document.querySelector('#charts svg').width.baseVal.value < {width}")
        assert await page.run("document.documentElement.scrollWidth") <= width
        assert await page.run(TOO_WIDE) == []


async def check_accessibility(page: Page) -> None:
    """For screen readers, the cards of a narrow window are still tables."""
    for width in (1440, 390):
        await page.size(width, 844)
        assert await page.roles() >= {"table", "row", "columnheader", "rowheader", "cell"}


async def test_what_is_unknown_in_an_alarm_is_a_question_mark_and_what_is_old_is_pale(
    tmp_path: Path,
) -> None:
    broker = make_broker()
    broker.start()
    project = Project(tmp_path, broker.url, "bridge")
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:1/\n")
    project.write("handler.py", HANDLER)
    port = free_port()
    try:
        await asyncio.gather(project.deliver(), project.worker("--handler", "handler:handle"))
        await start(project, port)
        async with browsing() as page:
            await page.open(f"http://127.0.0.1:{port}/")
            await log_in(page)
            rates = "document.querySelector('#charts figure:nth-child(3) output').innerText"
            row = "document.querySelector('#processes tbody').innerText"
            await page.sees(f"{row}.includes('0/256') && {rates} === '0 in, 0 out'")
            broker.raise_memory_alarm()
            await page.sees(f"{row}.includes('?/256') && {rates} === '? in, ? out'")
            alarm = await page.text("#health")
            assert re.search(r"memory alarm: .*; since \d\d:\d\d:\d\d", alarm)
            broker.end_memory_alarm()
            await page.sees(f"{row}.includes('0/256') && {rates} === '0 in, 0 out'")
            await asyncio.to_thread(broker.stop)
            await page.sees("document.body.className === 'stale'")
            await asyncio.to_thread(broker.start)
            await page.sees("document.body.className === ''")
    finally:
        project.close()
        broker.close()
