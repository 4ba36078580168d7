"""A server that is busy for a moment is asked again at once; one that stays busy is left to Prefect's own patience."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.apply import connecting
from deployments.apply.connecting import SoonAgain, connected


@contextmanager
def busy(times: int, **headers: str) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers 503 so often; and what it was sent."""
    seen: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(503 if len(seen) <= times else 201)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("times", "status", "asked"), [(0, 201, 1), (3, 201, 4), (100, 503, 6)])
def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch, times: int, status: int, asked: int) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(connecting.time, "sleep", pauses.append)
    with busy(times) as (url, seen), httpx.Client(transport=SoonAgain()) as client:
        assert client.post(url, content=b"the same").status_code == status
    assert seen == [b"the same"] * asked
    assert len(pauses) == asked - 1


def test_a_server_that_says_when_to_come_again_is_believed() -> None:
    with busy(1, Retry_After="30") as (url, seen), httpx.Client(transport=SoonAgain()) as client:
        assert client.post(url, content=b"once").status_code == 503
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:4200/api", True),
        ("http://localhost:4200/api", True),
        ("http://prefect.example.org/api", False),
        ("https://127.0.0.1:4200/api", False),
    ],
)
def test_a_server_elsewhere_is_asked_as_prefect_does(url: str, ours: bool) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        client = connected()
        assert isinstance(client._client._transport, SoonAgain) == ours
        client._client.close()
