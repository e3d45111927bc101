"""Random requests, made from genuine ones: values, bytes, headers, signatures and framing."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.integration.connectors.hostile import DEEP, VALUES
from tests.integration.connectors.tables import Genuine, Post

JUNK = [
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\xff",
    b"0",
    b"-1",
    b"+",
    b"_",
    b"0x",
    b"chunked",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"%",
    b"%ff%00",
    b"\xe2\x80\xa8",
]
FRAMES = [
    "Content-Length: {n}",
    "Content-Length: +{n}",
    "Content-Length: -{n}",
    "Content-Length: {n}.0",
    "Content-Length: {n:x}",
    "Content-Length: 0{n}",
    "Content-Length : {n}",
    "Content-Length: {n}\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked",
    "Content-Length: {less}",
    "Content-Length: {more}",
    "Content-Length: 99999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: Chunked",
    "X-Nothing: 1",
]


@dataclass(frozen=True)
class Attempt:
    """The bytes of one request."""

    says: str
    data: bytes
    is_forged: bool = False
    """Its signature was destroyed: nothing may be enqueued."""


class Fuzzer:
    """Makes attempts for one channel; the same seed makes the same ones."""

    def __init__(self, rng: random.Random, channel: str, signed_by: list[str]) -> None:
        self._rng = rng
        self._channel = channel
        self._signed_by = signed_by

    def attempt(self, genuine: Genuine) -> Attempt:
        kinds: list[Callable[[Genuine], Attempt]] = [
            self._value,
            self._bytes,
            self._headers,
            self._framing,
            self._head,
        ]
        if self._signed_by:
            kinds += [self._forged] * 2
        return self._rng.choice(kinds)(genuine)

    def _value(self, genuine: Genuine) -> Attempt:
        value = copy.deepcopy(genuine.value)
        for _ in range(self._rng.randint(1, 4)):
            value = self._changed(value)
        return Attempt("value", self._sent(genuine.post(value)))

    def _bytes(self, genuine: Genuine) -> Attempt:
        post = genuine.post(genuine.value)
        body = self._rng.choice([self._spoiled(post.body), self._rng.choice(DEEP)])
        return Attempt("bytes", self._sent(Post(body, post.headers)))

    def _headers(self, genuine: Genuine) -> Attempt:
        post = genuine.post(genuine.value)
        headers = dict(post.headers)
        for name in self._rng.sample([*headers], self._rng.randint(0, len(headers))):
            headers[name] = self._spoiled(headers[name].encode()).decode("latin-1")
        text = "x-forwarded-host x-forwarded-port host forwarded cookie accept traceparent"
        headers[self._rng.choice(text.split())] = self._word()
        return Attempt("headers", self._sent(Post(post.body, headers)))

    def _forged(self, genuine: Genuine) -> Attempt:
        post = genuine.post(genuine.value)
        headers = dict(post.headers)
        name = self._rng.choice(self._signed_by)
        before = headers.pop(name)
        if self._rng.random() < 0.8:
            after = self._spoiled(before.encode())
            # A scheme, hexadecimal digits and padding may be written in several ways, and Sanic
            # takes Unicode's spaces from both ends, such as a line separator.
            if _plain(after.decode(errors="surrogateescape")) not in _plain(before):
                headers[name] = after.decode("latin-1").strip()
        return Attempt(f"forged {name}", self._sent(Post(post.body, headers)), is_forged=True)

    def _framing(self, genuine: Genuine) -> Attempt:
        post = genuine.post(genuine.value)
        n = len(post.body)
        line = self._rng.choice(FRAMES).format(n=n, less=self._rng.randint(0, n), more=n + 7)
        body = post.body
        if "chunked" in line or self._rng.random() < 0.2:
            body = self._chunked(body)
        return Attempt(line, self._sent(Post(body, post.headers), line))

    def _head(self, genuine: Genuine) -> Attempt:
        data = self._sent(genuine.post(genuine.value))
        head, _, body = data.partition(b"\r\n\r\n")
        return Attempt("head", self._spoiled(head) + b"\r\n\r\n" + body)

    def _sent(self, post: Post, framing: str | None = None) -> bytes:
        lines = [f"POST /webhooks/{self._channel}/{post.path} HTTP/1.1", "Host: bot.example"]
        lines += [f"{name}: {value}" for name, value in post.headers.items()]
        lines.append(framing or f"Content-Length: {len(post.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + post.body

    def _changed(self, value: Any) -> Any:
        """Return a value with something inside it replaced, removed or added."""
        if not isinstance(value, (dict, list)) or not value or self._rng.random() < 0.1:
            others = [*VALUES, self._word(), {self._word(): value}, [value] * 3]
            return copy.deepcopy(self._rng.choice(others))
        key = self._rng.choice([*value] if isinstance(value, dict) else range(len(value)))
        if self._rng.random() < 0.1:
            del value[key]
        else:
            value[key] = self._changed(value[key])
        return value

    def _chunked(self, body: bytes) -> bytes:
        chunks = b""
        while body:
            n = self._rng.randint(1, len(body))
            size = self._rng.choice(
                ["{:x}", "{:X}", "{:x}", "0x{:x}", "+{:x}", "{:x};a=b", " {:x}"]
            )
            chunks += size.format(n).encode() + b"\r\n" + body[:n] + b"\r\n"
            body = body[n:]
        return chunks + self._rng.choice(
            [b"0\r\n\r\n"] * 3 + [b"", b"0\r\nX: y\r\n\r\n", b"-1\r\n"]
        )

    def _spoiled(self, data: bytes) -> bytes:
        for _ in range(self._rng.randint(1, 3)):
            at = self._rng.randint(0, len(data))
            to = min(len(data), at + self._rng.choice([0, 0, 1, 2, 10]))
            data = data[:at] + self._rng.choice([*JUNK, self._rng.randbytes(3)]) + data[to:]
        return data

    def _word(self) -> str:
        letters = "ab1/:.,;@%&=?#\\\"'[]{}<> \t\x7fé"
        return "".join(self._rng.choices(letters, k=self._rng.choice([0, 1, 5, 30, 3000])))


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def packets(rng: random.Random) -> list[str | bytes]:
    """Return packets that a client of Socket.IO may send."""
    event = json.dumps(["user_uttered", {"message": "hello", "session_id": "s"}])
    known = [
        "40",
        "41",
        f"42{event}",
        f"421{event}",
        "431[]",
        "451-[]",
        "461-[]",
        "2",
        "3",
        "5",
        "6",
    ]
    found: list[str | bytes] = []
    for _ in range(rng.randint(1, 6)):
        packet = rng.choice(known)
        if rng.random() < 0.5:
            at = rng.randint(0, len(packet))
            packet = packet[:at] + rng.choice(["", "[", "{", "9" * 120, "-", "/", ",", "\0", "é"])
        found.append(packet.encode() if rng.random() < 0.2 else packet)
    return found
