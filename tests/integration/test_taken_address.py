"""Two processes that bind the same address: only one of them says that it listens there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from bridge.errors import SettingsError
from bridge.http.server import HttpServer, new_app
from tests.support.broker import free_port


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_server_does_not_start_where_another_process_began_to_listen_meanwhile(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    port = free_port()

    async def main() -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))  # possible for both, as long as neither listens
            app = new_app(f"taken-{port}", 1024)
            server = await HttpServer.prepare(app, "127.0.0.1", port, "--port")
            other.listen()
            with pytest.raises(SettingsError, match="Address already in use"):
                await server.start()

    run(main())
