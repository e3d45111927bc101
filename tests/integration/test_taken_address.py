"""Two processes that bind the same address: only one of them says that it listens there."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from tests.support.broker import TOP, free_port

SERVER = """
import sys, {loop}
sys.path.insert(0, {top!r})
from bridge.errors import SettingsError
from bridge.http.server import HttpServer, new_app

async def main():
    server = await HttpServer.prepare(new_app("taken", 1024), "127.0.0.1", {port}, "--port")
    print("bound", flush=True)
    sys.stdin.readline()
    try:
        await server.start()
        print("listens", flush=True)
    except SettingsError as error:
        print(error, flush=True)

{loop}.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_server_does_not_start_where_another_process_began_to_listen_meanwhile(
    loop: str, tmp_path: Path
) -> None:
    port = free_port()
    script = tmp_path / "server.py"
    script.write_text(SERVER.format(top=str(TOP), loop=loop, port=port))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))  # both can, as long as neither listens
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert server.stdin is not None
        assert server.stdout is not None
        assert await server.stdout.readline() == b"bound\n"
        other.listen()
        server.stdin.write(b"\n")
        answer = (await server.stdout.readline()).decode()
        assert answer.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")
        await server.communicate()
