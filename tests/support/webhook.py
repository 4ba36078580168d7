"""A loopback webhook that keeps what it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.prefect_fixtures import eventually


@dataclass
class Webhook:
    """Messages in the order in which they came."""

    url: str = ""
    status: int = 204
    messages: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    _read: int = 0

    def next(self, count: int = 1) -> list[dict[str, Any]]:
        """The next messages, that nobody has asked for yet, as soon as so many are there."""
        eventually(lambda: len(self.messages) >= self._read + count, 90, f"{count} messages, after {self._read}")
        found = self.messages[self._read :]
        self._read = len(self.messages)
        return found


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Listening on a free port while the context lasts."""
    kept = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if kept.status < 300:
                kept.headers.append(dict(self.headers))
                kept.messages.append(json.loads(body))
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
