"""The least that a webhook of Sanic does with a signed status: the signature, and the JSON.

    python -m tests.bench.peers.bare_statuses PORT SECRET

It publishes nothing, and has no limits, logs or metrics.
"""

from __future__ import annotations

import hmac
import sys
from hashlib import sha256
from typing import Any

from sanic import Request, Sanic
from sanic.response import HTTPResponse, text

PATH = "/webhooks/whatsapp/webhook"


def main(port: int, secret: str) -> None:
    app: Any = Sanic("statuses", configure_logging=False)

    async def receive(request: Request) -> HTTPResponse:
        expected = f"sha256={hmac.new(secret.encode(), request.body, sha256).hexdigest()}"
        if not hmac.compare_digest(expected, request.headers["x-hub-signature-256"]):
            return text("forbidden", 403)
        assert request.json["entry"]
        return text("success")

    app.add_route(receive, PATH, methods=["POST"])
    one = {"single_process": True, "motd": False} if hasattr(app, "prepare") else {}
    app.run("127.0.0.1", port, access_log=False, **one)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
