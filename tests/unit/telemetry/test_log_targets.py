"""A log file and syslog, besides stderr."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.telemetry import log_targets, logs

log = logging.getLogger("bridge.test")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def listening(kind: socket.SocketKind) -> socket.socket:
    server = socket.socket(socket.AF_INET, kind)
    server.bind(("127.0.0.1", 0))
    server.settimeout(30)
    if kind is socket.SOCK_STREAM:
        server.listen()
    return server


def configure(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    logs.configure("webhook")


def test_a_log_file_is_appended_to_and_opened_again_after_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.log"
    path.write_text("before\n")
    configure(monkeypatch, log_targets.FILE, str(path))
    log.warning("first")
    path.rename(tmp_path / "out.log.1")
    log.warning("second")
    before, first = (tmp_path / "out.log.1").read_text().splitlines()
    assert before == "before"
    assert first.endswith(f"WARNING webhook[{os.getpid()}]: first")
    assert path.read_text().endswith("second\n")


def test_a_log_file_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="--log-file .*: No such .*; create its folder"):
        configure(monkeypatch, log_targets.FILE, str(tmp_path / "no" / "folder"))


def test_syslog_receives_each_line_as_a_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        configure(monkeypatch, log_targets.SYSLOG, f"udp://127.0.0.1:{port}")
        log.error("two\nlines")
        data = server.recv(10_000).decode()
    assert data.startswith("<11>")  # user, error
    assert data.endswith(f"ERROR   webhook[{os.getpid()}]: two   lines")


def test_syslog_over_tcp_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(socket.SOCK_STREAM) as server:
        port = server.getsockname()[1]
        configure(monkeypatch, log_targets.SYSLOG, f"tcp://127.0.0.1:{port}")
        log.warning("first")
        connection, _ = server.accept()
        with connection:
            assert b"<12>" in connection.recv(10_000)
        server.settimeout(0.05)
        for n in range(600):
            log.warning("line %d", n)  # a closed connection accepts the first line after it
            try:
                connection, _ = server.accept()
                break
            except TimeoutError:
                continue
        with connection:
            connection.settimeout(30)
            assert connection.recv(10_000).endswith(b"\n")


def test_a_syslog_that_does_not_read_stops_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_targets, "MOST_WAITING", 10)
    with listening(socket.SOCK_STREAM) as server:
        port = server.getsockname()[1]
        configure(monkeypatch, log_targets.SYSLOG, f"tcp://127.0.0.1:{port}")
        for _ in range(1000):
            log.warning("x" * 2000)


@pytest.mark.parametrize("address", ["localhost:514", "udp://", "http://h:1", "udp://h:port"])
def test_an_address_that_is_none_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="write it as udp://host:514"):
        configure(monkeypatch, log_targets.SYSLOG, address)
