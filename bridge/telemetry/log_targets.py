"""Where else log lines go, besides stderr: a file, or syslog.

Both are set through the environment, so that child processes log to the same places.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from logging.handlers import SysLogHandler, WatchedFileHandler
from urllib.parse import urlsplit

from bridge.errors import SettingsError

FILE = "RASA_BRIDGE_LOG_FILE"
"""Environment variable, set by --log-file: a path."""
SYSLOG = "RASA_BRIDGE_SYSLOG"
"""Environment variable, set by --use-syslog: `udp://host:port` or `tcp://host:port`."""
MOST_WAITING = 10_000
"""Lines that may wait for syslog; further ones are dropped."""
SECONDS = 5.0
"""For a connection to syslog, and for one line."""
FACILITY = SysLogHandler.LOG_USER


def further_handlers() -> list[logging.Handler]:
    """Return the handlers that the environment asks for, without formatters.

    Raises:
        SettingsError: the file cannot be written, or the address is not one.
    """
    handlers: list[logging.Handler] = []
    if path := os.environ.get(FILE):
        try:
            # It opens the file again after a rotation.
            handlers.append(WatchedFileHandler(path, encoding="utf-8"))
        except OSError as error:
            raise SettingsError(
                f"--log-file {path}: {error.strerror}", fix="create its folder, or fix the path"
            ) from error
    if address := os.environ.get(SYSLOG):
        parts = urlsplit(address)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in ("udp", "tcp") or not host or not port:
            raise SettingsError(f"{SYSLOG}: not an address", fix="write it as udp://host:514")
        handlers.append(Syslog(host, port, is_tcp=parts.scheme == "tcp"))
    return handlers


class Syslog(logging.Handler):
    """Sends lines from a thread, so that a syslog that does not read cannot stop the event loop."""

    def __init__(self, host: str, port: int, is_tcp: bool) -> None:
        super().__init__()
        self._address = host, port
        self._is_tcp = is_tcp
        self._socket: socket.socket | None = None
        self._waiting: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        threading.Thread(target=self._run, name="syslog", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        severity = SysLogHandler.priority_names[
            SysLogHandler.priority_map.get(record.levelname, "warning")
        ]
        line = " ".join(self.format(record).splitlines())
        end = "\n" if self._is_tcp else ""
        data = f"<{FACILITY << 3 | severity}>{line}{end}".encode(errors="replace")
        with contextlib.suppress(queue.Full):  # the same line is on stderr
            self._waiting.put_nowait(data)

    def _run(self) -> None:
        while True:
            data = self._waiting.get()
            for _ in range(2):  # the connection may be an old one
                try:
                    self._connected().sendall(data)
                    break
                except OSError:
                    self._disconnect()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            if self._is_tcp:
                self._socket = socket.create_connection(self._address, SECONDS)
            else:
                family, kind, *_, address = socket.getaddrinfo(
                    *self._address, type=socket.SOCK_DGRAM
                )[0]
                self._socket = socket.socket(family, kind)
                self._socket.connect(address)
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
