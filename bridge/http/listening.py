"""Addresses at which a process listens. Standard library only, so any command may check one."""

from __future__ import annotations

import errno
import os
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
        raise unusable(host, port, options, error.errno) from error
    return listening


def is_listening(listening: socket.socket) -> bool:
    """Whether connections to a socket are accepted.

    Two processes may have bound the same address, while neither accepts connections. The second one
    to do so fails, which uvloop does not tell.
    """
    try:
        return bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # the loop has closed it
        return False


def unusable(host: str, port: int, options: str, number: int | None) -> SettingsError:
    """Return the error for an address that cannot be used, with the system's number for it."""
    return SettingsError(
        f"cannot listen on {authority(host, port)}: {os.strerror(number or errno.EINVAL)}",
        fix=f"choose another address with {options}",
    )


def check(host: str, port: int, options: str) -> None:
    """Raise the error of `bind` if this address cannot be bound now."""
    bind(host, port, options).close()


def authority(host: str, port: int) -> str:
    """Return host and port as a URL has them: `localhost:5005`, `[::1]:5005`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
