"""Tells the process that started this one that it is ready: the protocol of systemd (sd_notify).

`NOTIFY_SOCKET` names a datagram socket. systemd sets it for services of `Type=notify`, and
`runtime.processes` for the roles that it starts.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from bridge.runtime.health import Problem

SOCKET = "NOTIFY_SOCKET"
READY = "READY=1"
STOPPING = "STOPPING=1"
LOOK_EVERY = 0.1
"""Seconds between two looks at what is not ready yet."""


async def announce(problem: Problem) -> None:
    """Tell once that there is no problem any more. Returns at once if there is no one to tell."""
    if not os.environ.get(SOCKET):
        return
    while problem():  # noqa: ASYNC110 - links know events, problems come from many
        await asyncio.sleep(LOOK_EVERY)
    tell(READY)


def tell(state: str) -> None:
    """Send a state, if this process was started by one that listens."""
    address = os.environ.get(SOCKET)
    if not address:
        return
    if address.startswith("@"):  # an abstract socket of Linux
        address = f"\0{address[1:]}"
    # Without the listener, there is no one to tell.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending, suppress(OSError):
        sending.connect(address)
        sending.send(state.encode())


class Listener:
    """Receives the state of one process; `ready` is set once it is ready."""

    def __init__(self, address: str) -> None:
        """Listen at a path, until `close`."""
        self.address = address
        self.ready = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address)
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def _receive(self) -> None:
        with suppress(OSError):
            if READY in self._socket.recv(4096).decode(errors="replace").splitlines():
                self.ready.set()

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
