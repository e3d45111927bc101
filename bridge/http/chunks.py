"""Reads the body of a request from Sanic's connection, and checks its chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sanic.exceptions import InvalidUsage

from bridge.http.framing import CHUNK_SIZE

FREE_CHUNKS, SHORTEST_CHUNKS = 256, 64
"""Chunks that may have any length; all further ones have so many bytes on average."""
LONGEST_CHUNK_LINE = 64
"""Bytes of the line before a chunk, as in Sanic."""


def is_here(stream: Any) -> bool:
    """Return whether a body of known length has arrived with its head, as short ones do."""
    return stream.request_body is True and 0 < stream.request_bytes_left <= len(stream.recv_buffer)


async def pieces(stream: Any) -> AsyncIterator[bytes]:
    """Yield a body as it arrives.

    Raises:
        InvalidUsage: its chunks are malformed, or many short ones.
    """
    size = chunks = 0
    while stream.request_body:
        if stream.request_body == "chunked" and not stream.request_bytes_left:
            chunks += 1
            if chunks > FREE_CHUNKS + size // SHORTEST_CHUNKS:
                raise InvalidUsage("the chunks of the body are too short")
            await _check_chunk(stream)
        data = await stream.read()
        if data:
            size += len(data)
            yield data


async def _check_chunk(stream: Any) -> None:
    """Check the line before a chunk, which Sanic reads with `int(…, 16)`: it takes `0x1c`, `+5`.

    The line begins with the line end of the chunk before it. After the last one, an empty line must
    follow: Sanic 21.12 reads trailers as the next request.
    """
    if stream.expecting_continue:
        stream.expecting_continue = False
        await stream._send(b"HTTP/1.1 100 Continue\r\n\r\n")
    buffer = stream.recv_buffer
    while (end := buffer.find(b"\r\n", 3)) < 0 and len(buffer) <= LONGEST_CHUNK_LINE:
        await stream._receive_more()
    size = CHUNK_SIZE.fullmatch(buffer[:end]) if 0 < end <= LONGEST_CHUNK_LINE else None
    if size and not int(size[1], 16):
        while len(buffer) < end + 4:
            await stream._receive_more()
        size = size if buffer[end + 2 : end + 4] == b"\r\n" else None
    if not size:
        raise InvalidUsage("the chunked body is malformed")
