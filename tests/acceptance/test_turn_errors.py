"""An action server that is down: Rasa ends its turns as if nothing were wrong, and we tell it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from tests.acceptance.stack import Assistant
from tests.support.broker import free_port
from tests.support.cli import run_bridge
from tests.support.processes import Project
from tests.support.waiting import eventually

ASKS = "what is my discount"
"""A text that the custom action `action_account` answers."""
ERROR = "Failed to run custom action 'action_account'"


async def test_turns_without_an_action_server_are_a_problem_with_its_cause(
    project: Project,
) -> None:
    """Nothing listens on the port of `action_endpoint`, so connections are refused."""
    assistant = Assistant(project)
    project.write("credentials.yml", "rest:\n")
    port, probes = free_port(), free_port()
    await asyncio.gather(
        project.webhook(port), assistant.start_worker("--metrics-port", str(probes))
    )
    url = f"http://127.0.0.1:{port}/webhooks/rest/webhook"
    async with aiohttp.ClientSession() as http:

        async def say(sender: str, text: str) -> list[dict[str, Any]]:
            body = {"sender": sender, "message": text}
            async with http.post(url, json=body) as response:
                assert response.status == 200
                answers: list[dict[str, Any]] = await response.json()
                return answers

        async def status() -> tuple[int, dict[str, Any], list[str]]:
            ran = await asyncio.to_thread(run_bridge, project.directory, "status", "--json")
            return ran.returncode, json.loads(ran.stdout), ran.stderr.splitlines()

        assert await say("bob", "hi")
        assert (await status())[0] == 0

        async def is_told() -> bool:
            assert await say("ada", ASKS) == []
            code, snapshot, lines = await status()
            inbound = snapshot["flows"][0]
            told = [line for line in lines if line.startswith("inbound: Rasa logged errors in ")]
            return (
                code == 1
                and any(f"(latest: {ERROR}); is the action server up?" in line for line in told)
                and inbound["turn_errors"] > 0
                and inbound["dead"] == 0
            )

        await eventually(is_told)
        async with http.get(f"http://127.0.0.1:{probes}/metrics") as response:
            assert 'rasa_bridge_turn_errors_total{channel="rest"}' in await response.text()

        async def is_in_the_trace() -> bool:
            ran = await asyncio.to_thread(run_bridge, project.directory, "trace", "ada")
            words = " ".join(ran.stdout.split())
            return "with an error in its turn" in words and "Rasa logged: Failed to" in words

        await eventually(is_in_the_trace)
        ran = await asyncio.to_thread(run_bridge, project.directory, "trace", "bob")
        assert "Rasa logged" not in ran.stdout


async def test_a_turn_with_an_action_server_has_no_error(project: Project) -> None:
    assistant = Assistant(project)
    project.write("credentials.yml", "rest:\n")
    port, probes = free_port(), free_port()
    await asyncio.gather(
        project.webhook(port),
        assistant.start_actions(),
        assistant.start_worker("--metrics-port", str(probes)),
    )
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}/webhooks/rest/webhook"
        async with http.post(url, json={"sender": "ada", "message": ASKS}) as response:
            assert await response.json()
        async with http.get(f"http://127.0.0.1:{probes}/metrics") as response:
            assert "rasa_bridge_turn_errors_total{" not in await response.text()
