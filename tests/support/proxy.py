"""A TCP proxy that can freeze: connections stay open, but no data passes, as with a cut cable."""

from __future__ import annotations

import asyncio
import ssl


class Proxy:
    """Forwards 127.0.0.1:`port` to a port on loopback."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        """With `tls`, clients connect with TLS."""
        self._tls = tls
        self._target = target
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def freeze(self) -> None:
        """Stop all traffic in both directions without closing connections."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Resume the traffic, starting with the data held back."""
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            await self._flowing.wait()
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(there)
            await asyncio.gather(self._pump(reader, there), self._pump(answers, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in writers:
                end.transport.abort()
            self._connections.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        writer.close()
