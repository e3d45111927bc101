"""Addresses at which a process listens. Standard library only, so any command may check one."""

from __future__ import annotations

import socket

from bridge.errors import SettingsError

BUFFER = 32 * 1024
"""Bytes that a connection may hold in user space, and again in the kernel, before it is read."""
REACHED_AS_LOCALHOST = ("0.0.0.0", "127.0.0.1", "::")  # noqa: S104


def bind(host: str, port: int, options: str) -> socket.socket:
    """Return a socket bound to an address; `options` names the CLI options that change it.

    Raises:
        SettingsError: the address is in use, or not an address of this host.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Otherwise each could fill megabytes of the container's memory.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {authority(host, port)}: {error.strerror}",
            fix=f"choose another address with {options}",
        ) from error
    return listening


def check(host: str, port: int, options: str) -> None:
    """Raise the error of `bind` if this address cannot be bound now."""
    bind(host, port, options).close()


def authority(host: str, port: int) -> str:
    """Return host and port as a URL has them: `localhost:5005`, `[::1]:5005`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
