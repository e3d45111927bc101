"""Rasa's channels behind a queue that cannot be reached: a failed enqueue is never answered 200."""

from __future__ import annotations

import shutil
from pathlib import Path

import aiohttp

from tests.support.processes import Project

NAMES = {"MyIO": "myio", "Collecting": "collecting", "Posting": "posting", "Held": "held"}
NAMES |= {"Swallowing": "swallowing", "Detached": "detached"}


async def test_no_channel_answers_200_for_a_message_that_is_not_on_the_queue(
    tmp_path: Path, namespace: str, port: int
) -> None:
    project = Project(tmp_path, "amqp://guest:guest@127.0.0.1:1/", namespace)
    shutil.copy(Path(__file__).with_name("channels.py"), tmp_path / "channels.py")
    sections = [f"channels.{name}:\n  url: http://127.0.0.1:1/\n" for name in NAMES]
    project.write("credentials.yml", "".join(sections))
    try:
        webhook = project.bridge("webhook", "-i", "127.0.0.1", "-p", str(port))
        await webhook.prints("listening on")
        async with aiohttp.ClientSession() as http:
            for name in NAMES.values():
                url = f"http://127.0.0.1:{port}/webhooks/{name}/webhook"
                async with http.post(url, json={"sender": "u", "message": "hi"}) as response:
                    assert response.status == 503, name
                    assert "send it again" in (await response.json())["error"], name
                    assert response.headers["Retry-After"], name
    finally:
        project.close()
