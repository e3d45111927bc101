"""Receives replies on port 8080 and prints them."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        reply = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(json.dumps(reply), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing but the replies."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8080), Receiver).serve_forever()
