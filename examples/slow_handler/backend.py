"""Stands in for a language model: slow, streaming, rate-limited, idempotent."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

PORT = 8091
LIMIT = 4
"""Generations at a time. Further requests are answered 429."""
SECONDS = 2.0
SECONDS_IF_LONG = 6.0
WORDS = ("an", "answer", "that", "arrives", "slowly,", "word", "by", "word")


class Generation:
    """One text, which grows whether or not a client is reading it."""

    def __init__(self, prompt: str) -> None:
        self.words = [f"Answer to {prompt}:"]
        self.done = False
        seconds = SECONDS_IF_LONG if "long" in prompt else SECONDS
        self._task = asyncio.create_task(self._grow(seconds / len(WORDS)))

    async def _grow(self, pause: float) -> None:
        for word in WORDS:
            await asyncio.sleep(pause)
            self.words.append(f" {word}")
        self.done = True


class Backend:
    """The HTTP API."""

    def __init__(self) -> None:
        self._generations: dict[str, Generation] = {}
        self._refused = 0
        self._resumed = 0

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Stream a text as lines of JSON. A known key continues with the same text."""
        key = request.headers["Idempotency-Key"]
        prompt = (await request.json())["prompt"]
        if key in self._generations:
            self._resumed += 1
            print(f"resumed:   {prompt}")
        elif sum(not generation.done for generation in self._generations.values()) >= LIMIT:
            self._refused += 1
            print(f"refused:   {prompt}")
            return web.Response(status=429, headers={"Retry-After": "1"})
        else:
            print(f"generates: {prompt}")
            self._generations[key] = Generation(prompt)
        return await stream(request, self._generations[key])

    async def counts(self, _: web.Request) -> web.Response:
        """Return how much there was to do."""
        generated, refused, resumed = len(self._generations), self._refused, self._resumed
        return web.json_response({"generated": generated, "refused": refused, "resumed": resumed})


async def stream(request: web.Request, generation: Generation) -> web.StreamResponse:
    """Send the words of a generation as they come."""
    response = web.StreamResponse()
    response.content_type = "application/x-ndjson"
    await response.prepare(request)
    sent = 0
    while not generation.done or sent < len(generation.words):
        for word in generation.words[sent:]:
            await response.write(json.dumps({"text": word}).encode() + b"\n")
            sent += 1
        await asyncio.sleep(0.05)
    await response.write(b'{"done": true}\n')
    return response


if __name__ == "__main__":
    backend = Backend()
    app = web.Application()
    app.router.add_post("/generate", backend.generate)
    app.router.add_get("/counts", backend.counts)
    web.run_app(app, host="127.0.0.1", port=PORT, access_log=None)
