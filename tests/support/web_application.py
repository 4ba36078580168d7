"""A small web application on a database: takes orders, lists them, goes into maintenance. For recoveries in use.

``python -m tests.support.web_application FOLDER`` reads the database's address from FOLDER/url, and writes its own to
FOLDER/port; DATABASE_URL and PORT in its environment count before that. After a POST to ``/down``, which is answered
when nothing is under way any more, it answers 503 to all but ``/up``; after one to ``/live`` it works again.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


class Maintenance:
    """Whether it is down, and how many requests are under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._down = False
        self._under_way = 0

    @contextmanager
    def request(self) -> Iterator[bool]:
        """Gives whether it may be served."""
        with self._changed:
            served = not self._down
            self._under_way += served
        try:
            yield served
        finally:
            with self._changed:
                self._under_way -= served
                self._changed.notify_all()

    def switch(self, down: bool) -> None:
        """Down: and wait for what is under way."""
        with self._changed:
            self._down = down
            self._changed.wait_for(lambda: not (down and self._under_way))


class Handler(BaseHTTPRequestHandler):
    """GET /up, GET /orders, POST /orders, POST /down, POST /live."""

    def do_GET(self) -> None:
        if self.path == "/up":
            self._answered("SELECT 1")
        else:
            self._served("SELECT count(*) FROM bare")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/orders":
            self._served(f"INSERT INTO bare VALUES ({int(body)})")
        else:
            MAINTENANCE.switch(down=self.path == "/down")
            self._say(200, None)

    def _served(self, sql: str) -> None:
        with MAINTENANCE.request() as served:
            if served:
                self._answered(sql)
            else:
                self._say(503, "maintenance")

    def _answered(self, sql: str) -> None:
        try:
            with ENGINE.begin() as connection:
                found = connection.execute(text(sql))
                value = found.scalar() if found.returns_rows else None
        except SQLAlchemyError as error:
            with (FOLDER / "application.log").open("a") as log:
                log.write(f"ERROR {type(error).__name__}\n")
            self._say(500, "error")
            return
        self._say(200, value)

    def _say(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


MAINTENANCE = Maintenance()

if __name__ == "__main__":
    ADDRESS = os.environ.get("DATABASE_URL") or (FOLDER / "url").read_text()
    URL = make_url(re.sub("^mysql:", "mysql+pymysql:", ADDRESS))
    # The driver would write it in latin1, and the server knows it in UTF-8.
    PASSWORD = {"password": URL.password.encode()} if URL.password and ADDRESS.startswith("mysql:") else {}
    ENGINE = create_engine(URL, pool_pre_ping=True, connect_args=PASSWORD)
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
    server.daemon_threads = True
    (FOLDER / "port.new").write_text(str(server.server_port))
    (FOLDER / "port.new").rename(FOLDER / "port")
    server.serve_forever()
