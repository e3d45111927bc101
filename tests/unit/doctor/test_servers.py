"""The doctor's findings about the servers that endpoints.yml names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.doctor import run_checks
from bridge.doctor.assistant import check_action_server
from bridge.doctor.findings import Finding
from bridge.doctor.servers import CHECKS
from tests.support.broker import free_port


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def check(name: str, **section: Any) -> Finding:
    return await CHECKS[name](section)


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("name", "section", "gone"),
    [
        ("lock_store", {"type": "redis", "url": "127.0.0.1", "port": "PORT"}, "warning"),
        ("lock_store", {"type": "redis", "url": "127.0.0.1:PORT"}, "warning"),
        ("event_broker", {"type": "kafka", "url": "127.0.0.1:PORT"}, "error"),
        ("event_broker", {"type": "kafka", "url": ["127.0.0.1:1", "127.0.0.1:PORT"]}, "error"),
        (
            "event_broker",
            {"type": "SQL", "dialect": "postgresql", "host": "127.0.0.1", "port": "PORT"},
            "error",
        ),
        ("nlg", {"url": "http://127.0.0.1:PORT/nlg"}, "error"),
        ("nlu", {"url": "http://127.0.0.1:PORT"}, "error"),
    ],
)
async def test_a_server_that_accepts_no_connection_is_found(
    name: str, section: dict[str, Any], gone: str
) -> None:
    def at(port: int) -> dict[str, Any]:
        def named(value: Any) -> Any:
            if isinstance(value, list):
                return [named(one) for one in value]
            return value.replace("PORT", str(port))

        return {key: named(value) for key, value in section.items()}

    async with listening() as port:
        finding = await check(name, **at(port))
        assert (finding.status, finding.fix) == ("ok", "")
        assert f"127.0.0.1:{port}" in finding.text
    finding = await check(name, **at(port))
    assert finding.status == gone
    assert f"127.0.0.1:{port}" in finding.text
    assert finding.fix.startswith("start it, or ")


@pytest.mark.parametrize(
    ("name", "section", "status"),
    [
        ("lock_store", {"type": "in_memory"}, "ok"),
        ("lock_store", {"type": "my.Store"}, "ok"),
        ("lock_store", {"type": "redis", "url": "localhost", "port": "x"}, "warning"),
        ("event_broker", {"type": "my.Broker"}, "ok"),
        ("event_broker", {"type": "InMemoryEventBroker"}, "warning"),
        ("event_broker", {"type": "file", "path": "events.log"}, "ok"),
        ("event_broker", {"type": "file", "path": "nowhere/events.log"}, "error"),
        ("event_broker", {"type": "SQL", "db": "events.db"}, "ok"),
        ("event_broker", {"type": "SQL", "db": "nowhere/events.db"}, "error"),
        ("nlg", {"type": "response"}, "ok"),
        ("nlg", {"path": "/nlg"}, "error"),
        ("models", {"path": "/models"}, "error"),
    ],
)
async def test_what_needs_no_server_or_names_none(
    name: str, section: dict[str, Any], status: str
) -> None:
    finding = await check(name, **section)
    assert finding.status == status
    assert bool(finding.fix) == (status != "ok")


@pytest.mark.parametrize(
    ("answer", "status", "named"),
    [(200, "ok", "answers"), (204, "ok", "answers"), (404, "error", "HTTP 404")],
)
async def test_the_model_server_is_asked_as_rasa_asks(
    answer: int, status: str, named: str, tmp_path: Path
) -> None:
    asked = []

    async def model(request: web.Request) -> web.Response:
        asked.append((request.query.get("key"), request.headers.get("Authorization")))
        return web.Response(status=answer, body=b"" if answer == 204 else b"model" * 1_000_000)

    app = web.Application()
    app.router.add_get("/models/default", model)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        endpoints = (
            f"models:\n  url: http://127.0.0.1:{port}/models/default\n  token: hunter2\n"
            "  token_name: key\n  basic_auth: {username: u, password: p}\n"
            "bridge: {url: 'amqp://127.0.0.1:1/'}\n"
        )
        (tmp_path / "endpoints.yml").write_text(endpoints)
        findings = {f.subject: f for f in await run_checks(None, None, None)}
    finally:
        await runner.cleanup()
    assert asked == [("hunter2", "Basic dTpw")]
    assert findings["model server"].status == status
    assert named in findings["model server"].text
    assert "model" not in findings  # the server has it, so no folder is needed
    assert "hunter2" not in str(findings)


async def test_an_event_broker_that_cannot_be_reached_is_an_error_without_the_password() -> None:
    port = free_port()
    finding = await check(
        "event_broker", url="127.0.0.1", port=port, username="u", password="hunter2"
    )
    assert finding.status == "error"
    assert f"127.0.0.1:{port}" in finding.text
    assert "hunter2" not in str(finding)


async def test_an_action_server_may_be_called_by_grpc_or_be_a_module() -> None:
    async with listening() as port:
        found = await check_action_server({"url": f"grpc://127.0.0.1:{port}"})
        assert (found.status, found.text) == ("ok", f"action server at 127.0.0.1:{port} answers")
    gone = await check_action_server({"url": f"grpc://127.0.0.1:{port}"})
    assert (gone.status, gone.fix) == ("warning", "start it, or fix action_endpoint.url")
    assert (await check_action_server({"actions_module": "actions"})).status == "ok"


async def test_an_action_server_without_a_scheme_is_named() -> None:
    found = await check_action_server({"url": "localhost:5055/webhook"})
    assert (found.status, found.fix) == ("warning", "write http://…")


async def test_a_variable_in_quotes_is_found_in_every_section() -> None:
    Path("endpoints.yml").write_text("nlg:\n  url: '${NLG_URL}'\n")  # noqa: ASYNC240
    findings = await run_checks(None, None, None)
    assert ("warning", "${NLG_URL} is not replaced, as in Rasa", "remove its quotes") in [
        (finding.status, finding.text, finding.fix) for finding in findings
    ]
