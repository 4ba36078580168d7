"""The rows of a COPY, straight from where they were unpacked to the socket.

libpq copies every row twice before the kernel does, which is a sixth of what loading costs us. So where nothing
encrypts on the way, the protocol's CopyData messages are written here; libpq, which waits for rows meanwhile and has
nothing else to send, is told that there are none, and ends the COPY as ever. Otherwise it gets them.
"""

import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Any

from psycopg2.extensions import connection as Connection

from backproof.errors import RestoreFailed
from backproof.parallel.parts import AT_ONCE, drop

MESSAGE_BYTES = 64 * 1024
"""Of rows in a message, or given to libpq at once; small enough to be in a processor's cache until they are sent."""
_LOOK_SECONDS = 0.5
_STALLED_SECONDS = 60.0
_UNREAD_BYTES = 16 * 1024


def bare_socket(connection: Connection) -> int | None:
    """The socket of a connection on which nothing encrypts; None where something does, or may do.

    From then on the server sends no warnings there: nobody reads them while rows are written.
    """
    if connection.info.ssl_in_use:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SET client_min_messages = error;"
            "SELECT encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_catalog.pg_backend_pid()"
        )
        return connection.fileno() if cursor.fetchall() == [(False,)] else None


class Rows:
    """The rows of a member as a file that psycopg2 reads; refuses to go on once another session has failed.

    Args:
        plain: the member's text.
        start: where its rows begin.
        end: where they end.
        stopped: set once another session has failed.
        bare: the connection's ``bare_socket``.
    """

    def __init__(self, plain: bytes, start: int, end: int, stopped: threading.Event, bare: int | None) -> None:
        self._plain, self._at, self._end, self._stopped, self._bare = plain, start, end, stopped, bare
        self.failure: RestoreFailed | None = None
        """Why they were not sent, where that was seen here: psycopg2 raises errors of its own instead."""

    def read(self, size: int = -1) -> bytes:
        """Rows for libpq; nothing at the end, and where they were sent past it."""
        if self._stopped.is_set():
            raise InterruptedError
        if self._bare is not None:
            self._send(self._bare)
        stop = self._end if size < 0 else min(self._at + size, self._end)
        chunk, self._at = self._plain[self._at : stop], stop
        return chunk

    def readline(self, size: int = -1) -> bytes:
        """psycopg2 asks that a file has it; COPY FROM never calls it."""
        raise NotImplementedError

    def _send(self, to: int) -> None:
        parts = deque(self._messages())
        self._at = self._end
        taken_at = time.monotonic()
        writable = select.poll()
        writable.register(to, select.POLLOUT)
        try:
            while parts:
                try:
                    drop(parts, os.writev(to, list(islice(parts, AT_ONCE))))
                    taken_at = time.monotonic()
                except BlockingIOError:
                    writable.poll(_LOOK_SECONDS * 1000)
                    self._expect_no_end(to, taken_at)
        except OSError as error:
            # In the midst of a message: whatever libpq said next would be taken for rows.
            with socket.socket(fileno=os.dup(to)) as connection, suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            if isinstance(error, InterruptedError):
                raise
            # libpq finds the connection broken as well, and what the server said last.

    def _messages(self) -> list[memoryview]:
        rows = memoryview(self._plain)
        found = []
        for at in range(self._at, self._end, MESSAGE_BYTES):
            part = rows[at : min(at + MESSAGE_BYTES, self._end)]
            found += [memoryview(b"d" + struct.pack(">I", 4 + len(part))), part]
        return found

    def _expect_no_end(self, to: int, taken_at: float) -> None:
        """A server that waits until we read what it has to say would wait for ever."""
        if time.monotonic() - taken_at > _STALLED_SECONDS and _unread_bytes(to) > _UNREAD_BYTES:
            self.failure = RestoreFailed(
                "the server takes no rows until it gets rid of its messages, of which there are too many",
                "See its log: a function or a constraint of this database raises a warning for each row.",
            )
            raise InterruptedError
        if self._stopped.is_set():
            raise InterruptedError


def _unread_bytes(connection: int) -> int:
    found: Any = fcntl.ioctl(connection, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", found)[0])
