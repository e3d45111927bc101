"""The demo assistant with its action server, behind the bridge or behind a plain `rasa run`."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.broker import TOP, free_port
from tests.support.processes import Process, Project
from tests.support.waiting import eventually

DEMO = TOP / "deploy" / "demo"
IS_PRO = any(distributions(name="rasa-pro"))
MODEL = DEMO / "models" / ("demo-pro.tar.gz" if IS_PRO else "demo.tar.gz")
START = 180.0
"""Seconds that Rasa may need to load on a busy machine."""


class Assistant:
    """A project with the demo assistant; `database` is the file of its SQLite tracker store."""

    def __init__(self, project: Project) -> None:
        assert MODEL.exists(), f"{MODEL} is missing: run deploy/local/setup model"
        self.project = project
        self.database = project.directory / "trackers.db"
        self.action_port = free_port()
        shutil.copytree(DEMO / "actions", project.directory / "actions")
        endpoints = (project.directory / "endpoints.yml").read_text()
        project.write(
            "endpoints.yml",
            endpoints
            + f"action_endpoint:\n  url: http://127.0.0.1:{self.action_port}/webhook\n"
            + f"tracker_store:\n  type: SQL\n  dialect: sqlite\n  db: {self.database}\n",
        )

    async def start_actions(self) -> None:
        command = [sys.executable, "-m", "rasa_sdk", "--actions", "actions"]
        self.project.start(
            "actions", [*command, "-p", str(self.action_port)], {"SANIC_HOST": "127.0.0.1"}
        )
        health = f"http://127.0.0.1:{self.action_port}/health"
        await eventually(lambda: answers(health), "the action server answers", START)

    async def start_worker(self, *arguments: str) -> Process:
        process = self.project.bridge("worker", "-m", str(MODEL), *arguments)
        await process.prints("consuming", patience=START)
        return process

    async def start_rasa(
        self, port: int, credentials: str, database: Path, *, fork: bool = True
    ) -> Process:
        """Start a plain `rasa run` with the same model and wait until it answers."""
        self.project.write("rasa-credentials.yml", credentials)
        endpoints = (self.project.directory / "endpoints.yml").read_text()
        self.project.write(
            "rasa-endpoints.yml", endpoints.replace(str(self.database), str(database))
        )
        files = "rasa-endpoints.yml", "rasa-credentials.yml"
        return await start_rasa(self.project, port, *files, fork=fork)

    async def user_events(self, sender: str, count: int) -> list[dict[str, Any]]:
        """Wait for `count` UserUttered events of a conversation, then return all stored ones.

        Rasa saves the tracker at the end of a turn, after the replies.
        """
        await eventually(lambda: len(self._stored(sender)) >= count, f"{sender} is saved")
        return self._stored(sender)

    def _stored(self, sender: str) -> list[dict[str, Any]]:
        with sqlite3.connect(self.database) as connection:
            rows = connection.execute(
                "select data from events where sender_id = ? and type_name = 'user' order by id",
                (sender,),
            )
            return [json.loads(row[0]) for row in rows]


async def start_rasa(
    project: Project, port: int, endpoints: str, credentials: str, *, fork: bool = True
) -> Process:
    """Start a plain `rasa run` with two files of the project, and wait until it answers."""
    command = ["rasa"] if fork else [sys.executable, "-m", "rasa"]
    command += ["run", "-m", str(MODEL), "--enable-api", "-i", "127.0.0.1", "-p", str(port)]
    command += ["--endpoints", endpoints]
    process = project.start(
        "rasa",
        [*command, "--credentials", credentials],
        {"RASA_TELEMETRY_ENABLED": "false", "SQLALCHEMY_SILENCE_UBER_WARNING": "1"},
    )

    async def loaded() -> bool:
        assert process.popen.poll() is None, process.log
        return await answers(f"http://127.0.0.1:{port}/status", key="model_id")

    await eventually(loaded, "rasa run loads its model", START)
    return process


async def answers(url: str, key: str | None = None) -> bool:
    """Whether a URL answers 200; with `key`, its JSON object must also have that key set."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status == 200 and (key is None or bool((await response.json())[key]))
    except (aiohttp.ClientError, asyncio.TimeoutError, KeyError):
        return False
