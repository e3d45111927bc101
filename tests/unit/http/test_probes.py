"""The metrics port: metrics and probes, served from threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
import threading
import time
import urllib.error
import urllib.request

import pytest

from bridge.errors import SettingsError
from bridge.http import probes
from bridge.runtime import health


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a process that serves probes."""
    monkeypatch.setattr(health, "process", health.Health(lambda code: None))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    probes.serve("127.0.0.1", port)
    return f"http://127.0.0.1:{port}"


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_nothing_is_served_unless_a_port_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "make_server", lambda *_, **__: pytest.fail("served"))
    probes.serve("127.0.0.1", None)


def test_a_taken_port_or_a_wrong_address_is_an_error_that_names_the_options() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SettingsError, match=r"--metrics-port or --metrics-host"):
            probes.serve("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"192\.0\.2\.1"):
            probes.serve("192.0.2.1", taken.getsockname()[1])


async def test_metrics_are_served_while_the_event_loop_is_blocked(base: str) -> None:
    # This call blocks the event loop, as a turn of Rasa does.
    status, text = get(f"{base}/metrics")
    assert status == 200
    assert "# TYPE rasa_bridge_turn_seconds histogram" in text
    assert not re.search(r"^\w+_created\b", text, re.MULTILINE)


def test_a_process_is_ready_once_it_has_started_and_nothing_speaks_against_it(base: str) -> None:
    assert get(f"{base}/readyz") == (503, "not ready\n")
    problem = "not connected"
    health.process.check(lambda: problem)
    assert get(f"{base}/readyz") == (503, "not ready\n")
    problem = ""
    assert get(f"{base}/readyz") == (200, "ok\n")
    assert get(f"{base}/healthz") == (200, "ok\n")


def test_the_reason_is_logged_once_and_no_caller_is_told(
    base: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridge.runtime.health")
    problems = ["vhost bots of user webhook at 10.0.0.7 refused", "queue orders.07 is missing", ""]
    current = [problems[0]]
    health.process.check(lambda: current[0])
    answers = []
    for current[0] in problems:
        answers += [get(f"{base}/readyz") for _ in range(3)]
    assert answers == [(503, "not ready\n")] * 6 + [(200, "ok\n")] * 3
    expected = [*(f"not ready: {problem}" for problem in problems[:2]), "ready"]
    assert [record.getMessage() for record in caplog.records] == expected


def test_a_process_that_waits_for_work_that_does_not_end_is_alive_but_not_ready(base: str) -> None:
    health.process.check(lambda: None)
    health.process.overdue("turn", "work does not end")
    assert get(f"{base}/readyz") == (503, "not ready\n")
    assert get(f"{base}/healthz")[0] == 200
    health.process.ended("turn")
    assert get(f"{base}/readyz")[0] == 200


def test_a_process_whose_event_loop_stands_still_is_neither_alive_nor_ready(base: str) -> None:
    health.process.check(lambda: None)
    health.process.stall = "the event loop has been silent for 20 s"
    assert get(f"{base}/healthz") == (503, "stalled\n")
    assert get(f"{base}/readyz")[0] == 503


async def test_a_client_that_sends_nothing_holds_no_other_up(base: str) -> None:
    host, _, port = base.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    assert (await asyncio.to_thread(get, f"{base}/healthz"))[0] == 200
    writer.close()


async def test_a_client_that_sends_nothing_is_disconnected(
    base: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probes._Quiet, "timeout", 0.1)
    host, _, port = base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_sends_byte_by_byte_is_cut_off(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "SECONDS", 0.2)
    address = base.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=30) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert slow.recv(1000) == b"", "closed"


def test_hundreds_of_slow_clients_take_few_threads_and_hold_no_probe_up(base: str) -> None:
    host, _, port = base.removeprefix("http://").partition(":")
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            slow = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert get(f"{base}/healthz") == (200, "ok\n")
        deadline = time.monotonic() + 30
        while threading.active_count() > before + 2 * probes.MOST:
            assert time.monotonic() < deadline, threading.active_count()
            time.sleep(0.01)


def test_a_client_that_has_gone_leaves_no_traceback(
    base: str, capfd: pytest.CaptureFixture[str]
) -> None:
    address = base.removeprefix("http://").split(":")
    for request in (b"\x16\x03\x01\r\n\r\n", b"GET " + b"a" * 70_000, b"\0\r\n\r\n"):
        with socket.create_connection((address[0], int(address[1])), timeout=30) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request)
    assert get(f"{base}/healthz") == (200, "ok\n")
    assert "Traceback" not in capfd.readouterr().err
