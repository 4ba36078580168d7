"""Several connections that fill one database together: the first error ends them all, promptly."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from backproof.engines.postgresql.connect import connect, translate
from backproof.errors import BackproofError, RestoreFailed
from backproof.records import Target

Connection = psycopg2.extensions.connection

_PATIENCE_SECONDS = 5.0
_REMEDY = "The archive was not changed. Remove the cause, drop the new database and restore again."


class Stopped(BaseException):
    """Another session failed; says nothing of its own. Never leaves this module."""


class Sessions:
    """Connections to one target, each with the dump's session settings; closed, and cancelled, at the end.

    Args:
        target: the database to fill.
        settings: statements that every session runs first.
    """

    def __init__(self, target: Target, settings: Sequence[bytes]) -> None:
        self._target = target
        self._settings = settings
        self._idle: list[Connection] = []
        self._open: list[Connection] = []
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.stop()
        for connection in self._open:
            with suppress(psycopg2.Error):
                connection.close()

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection of one's own for a while; opened where none is idle."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        yield connection
        with self._lock:
            self._idle.append(connection)

    def together(self, workers: Sequence[Callable[[Connection], None]]) -> None:
        """Run each worker in a thread with a connection of its own; the first error stops and replaces all others."""
        errors: list[BaseException] = []
        threads = [threading.Thread(target=self._run, args=(work, errors), daemon=True) for work in workers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:
            # Ctrl-C or a cancelled run: what the threads wait for ends with their statements.
            self.stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(_PATIENCE_SECONDS)
            raise
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Cancel what the server is doing for us, on every connection; from any thread."""
        self.stopped.set()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(psycopg2.Error):
                connection.cancel()

    def check(self) -> None:
        """Leave, where another session has failed."""
        if self.stopped.is_set():
            raise Stopped

    def _run(self, work: Callable[[Connection], None], errors: list[BaseException]) -> None:
        try:
            with self.one() as connection:
                work(connection)
        except Stopped:
            pass
        except BaseException as error:
            with self._lock:
                first = not self.stopped.is_set()
                self.stopped.set()
                if first:
                    errors.append(error)
            self.stop()

    def _connect(self) -> Connection:
        connection = connect(self._target, autocommit=True, application_name="backproof restore")
        with self._lock:
            self._open.append(connection)
        self.check()
        for setting in self._settings:
            execute(connection, setting, "the session settings")
        return connection


def execute(connection: Connection, sql: bytes, what: str) -> None:
    """Send statements by the simple query protocol, as one transaction; rows they return are thrown away.

    Args:
        connection: in autocommit mode.
        sql: one or more statements.
        what: the entry, for the error.

    Raises:
        RestoreFailed: the server refused; names the entry, with the server's words but no row.
        ConnectionLost: it went away.
    """
    try:
        with connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except psycopg2.errors.DeadlockDetected:
                cursor.execute(sql)
    except psycopg2.Error as error:
        raise refusal(error, what) from None


def refusal(error: psycopg2.Error, what: str) -> BackproofError:
    """What a server's refusal means here: the entry or table, and the server's words without values."""
    found = translate(error, RestoreFailed)
    return type(found)(f"cannot restore {what}: {found.fact}", found.remedy or _REMEDY)
