"""The rows of a COPY, straight from where they were unpacked to the socket.

libpq copies every row twice before the kernel does, which is a seventh of what a restore costs us. So where nothing
encrypts on the way, the protocol's CopyData messages are written here; libpq, which waits for rows meanwhile and has
nothing else to send, is told that there are none, and ends the COPY as ever. Otherwise it gets them.
"""

import os
import select
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from itertools import islice

import psycopg2

from backproof.engines.postgresql.sessions import Connection, refusal
from backproof.parallel.parts import AT_ONCE, drop

MESSAGE_BYTES = 64 * 1024
"""Of rows in a message, or given to libpq at once; small enough to be in a processor's cache until they are sent."""

_LOOK_SECONDS = 0.5
_NOT_NEEDED = (b"N", b"S", b"A")
"""What a server says besides: notices and warnings, settings, notifications."""
_HEAD_BYTES = 5


def bare_socket(connection: Connection) -> int | None:
    """The socket of a connection on which nothing encrypts; None where something does, or may do.

    Raises:
        RestoreFailed, ConnectionLost: the server does not answer as it should.
    """
    if connection.info.ssl_in_use:
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_catalog.pg_backend_pid()")
            return connection.fileno() if cursor.fetchall() == [(False,)] else None
    except psycopg2.Error as error:
        raise refusal(error, "rows") from None


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
        with socket.socket(fileno=os.dup(to)) as connection:
            try:
                _sent(connection, parts, self._stopped)
            except BaseException as error:
                # In the midst of a message: whatever libpq said next would be taken for rows.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                if isinstance(error, InterruptedError) or not isinstance(error, OSError):
                    raise
                # libpq finds the connection broken as well, and what the server said last.

    def _messages(self) -> list[memoryview]:
        rows = memoryview(self._plain)
        found = []
        for at in range(self._at, self._end, MESSAGE_BYTES):
            part = rows[at : min(at + MESSAGE_BYTES, self._end)]
            found += [memoryview(b"d" + struct.pack(">I", 4 + len(part))), part]
        return found


def _sent(connection: socket.socket, parts: "deque[memoryview]", stopped: threading.Event) -> None:
    """Send them all. A server may have more to say meanwhile than there is room for, and wait until it is read."""
    heard = _Heard(connection)
    while parts or heard.left:
        try:
            if parts:
                drop(parts, connection.sendmsg(list(islice(parts, AT_ONCE))))
            else:
                heard.wait(0)
        except BlockingIOError:
            heard.wait(select.POLLOUT)
        if stopped.is_set():
            raise InterruptedError


class _Heard:
    """What the server says while it is sent rows: thrown away as long as nobody needs it, whole messages; libpq reads
    all that follows."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._may_be_thrown_away = True
        self.left = 0
        """Bytes of a message of which some are gone."""

    def wait(self, room: int) -> None:
        """Until something was heard, or there is room for rows (POLLOUT; 0: that does not matter), or for a while."""
        ready = select.poll()
        ready.register(self._connection, room | (select.POLLIN if self._may_be_thrown_away else 0))
        if any(not events & room for _, events in ready.poll(_LOOK_SECONDS * 1000)):
            self._hear()

    def _hear(self) -> None:
        if not self.left:
            head = self._connection.recv(_HEAD_BYTES, socket.MSG_PEEK)
            if head[:1] not in _NOT_NEEDED:
                self._may_be_thrown_away = False
                return
            if len(head) < _HEAD_BYTES:
                return
            self.left = 1 + struct.unpack(">I", head[1:])[0]
        gone = len(self._connection.recv(min(self.left, MESSAGE_BYTES)))
        if not gone:
            raise ConnectionResetError
        self.left -= gone
