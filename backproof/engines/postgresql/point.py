"""The consistent point: a transaction that locks every table, exports its snapshot, and stays until all have read.

TRUNCATE and table rewrites are not seen by snapshots: a reader that comes later would find the table empty, and nobody
would say so. Hence the order: lock every table, *then* take the snapshot, then look whether it shows a table that is
not locked. Whatever is counted is counted on this connection: its locks are granted, so it can't queue behind an ALTER
TABLE that waits for the dump to end.
"""
# ruff: noqa: S608 - the SQL is put together from texts of this module; values travel as parameters

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, encodings
from psycopg2.extensions import connection as Connection

from backproof.engines.postgresql.connect import cancel, connect, translate, without_timeouts
from backproof.engines.postgresql.text import decode
from backproof.errors import BackproofError, Busy, ConnectionLost, DumpFailed
from backproof.records import Target

LOCK_SECONDS = 30
"""How long a table may be locked by somebody else before we give up and name them."""

ATTEMPTS = 5

_BATCH = 500

USER_RELATION = """
    n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND NOT c.oid = ANY (coalesce(e.extconfig, '{}')))
"""
"""What a dump may hold rows of; of an extension's tables only those it calls configuration."""

_TABLES = f"""
    SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND {USER_RELATION} ORDER BY c.oid
"""

_LOCKED = """
    SELECT relation FROM pg_catalog.pg_locks
    WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation' AND granted AND mode = 'AccessShareLock'
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""

_IN_THE_WAY = """
    SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname), l.pid, coalesce(a.application_name, '')
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation = ANY (%s::oid[])
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    ORDER BY l.granted DESC, l.pid LIMIT 1
"""

Relations = dict[int, str]
"""OID to qualified, quoted name."""


class Moved(Exception):
    """Tables came, went or changed names while they were being locked: start over."""


@dataclass(frozen=True)
class Point:
    """An open consistent point."""

    connection: Connection
    snapshot: str
    taken_at: datetime
    """By the server's clock, in UTC."""
    tables: Relations
    tool_major: int = 0
    """Of the pg_dump that reads it."""

    codec: str = "utf-8"
    """Of the database's own encoding."""

    failures: list[BackproofError] = field(default_factory=list)
    """What ended the transaction, where something did: what is asked afterwards ends with the same."""

    def spell(self, name: str) -> str:
        """A name as ``text.decode`` gives it from the dump, which is in the database's own encoding."""
        return name if self.codec == "utf-8" else decode(name.encode(self.codec))

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read at the point; from any thread.

        Raises:
            ConnectionLost: the transaction that holds the point is gone.
            BackproofError: the first error on this connection, whoever asked then.
        """
        try:
            self.check_open()
            with self.connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall()
        except psycopg2.Error as error:
            self.failures.append(translate(error, DumpFailed))
            raise self.failures[0] from None

    def check(self) -> None:
        """That the transaction still stands: its locks and its snapshot were there all the time.

        Raises:
            ConnectionLost: it does not, so what was read since is not of one moment.
        """
        held = f"SELECT count(*) FROM ({_LOCKED}) held WHERE relation = ANY (%s::oid[])"
        if self.rows(held, [list(self.tables)]) != [(len(self.tables),)]:
            raise ConnectionLost("the dump's locks on its tables were lost", "Run the backup again.")

    def check_open(self) -> None:
        """The driver never reconnects by itself, so an open transaction is the one that was begun."""
        if self.connection.closed or self.connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            raise ConnectionLost("the transaction that held the dump's snapshot ended", "Run the backup again.")

    def cancel(self) -> None:
        """Stop what another thread is reading here, when nobody wants it any more."""
        cancel(self.connection)


@contextmanager
def consistent_point(target: Target, lock_seconds: float = LOCK_SECONDS) -> Iterator[Point]:
    """Lock every table, take a snapshot and export it; all of it lasts as long as the context.

    Raises:
        Busy: a table is locked by somebody else, who is named, or tables come and go all the time.
        AccessDenied: the role may not read a table.
        ConnectionLost: the server went away.
    """
    connection = connect(target, application_name="backproof snapshot")
    try:
        yield _open(connection, lock_seconds)
    finally:
        connection.close()


def _open(connection: Connection, lock_seconds: float) -> Point:
    try:
        without_timeouts(connection)
        # No function of the database's own can come in the place of the system's.
        _execute(connection, "SET search_path = pg_catalog; SET quote_all_identifiers = off; SET row_security = off")
        codec = _codec(connection)
        for _ in range(ATTEMPTS):
            try:
                return replace(_attempt(connection, lock_seconds), codec=codec)
            except (Moved, errors.UndefinedTable, errors.InvalidSchemaName, errors.WrongObjectType):
                _execute(connection, "ROLLBACK")
    except psycopg2.Error as error:
        raise _explain(connection, error) from None
    raise Busy(
        f"tables were created, dropped or renamed during each of {ATTEMPTS} attempts to lock them all",
        "Try again when the migration or job that does so has ended.",
    )


def _codec(connection: Connection) -> str:
    """How the database itself writes names; set up so that any name can be read."""
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    if encoding == "SQL_ASCII":
        # Any bytes, and the server converts nothing: read as one byte a character, no name is refused.
        connection.set_client_encoding("LATIN1")
        return "latin-1"
    return codecs.lookup(encodings.get(encoding, "utf-8")).name


def _attempt(connection: Connection, lock_seconds: float) -> Point:
    seen = _relations(connection)
    _execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    # LOCK TABLE takes no snapshot: that comes with the first query.
    _execute(connection, f"SET LOCAL lock_timeout = '{int(lock_seconds * 1000)}ms'")
    names = list(seen.values())
    for start in range(0, len(names), _BATCH):
        listed = ", ".join(f"ONLY {name}" for name in names[start : start + _BATCH])
        _execute(connection, f"LOCK TABLE {listed} IN ACCESS SHARE MODE")
    _execute(connection, "SET LOCAL lock_timeout = 0")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_export_snapshot(), pg_catalog.clock_timestamp()")
        snapshot, taken_at = _one(cursor.fetchall())
        cursor.execute(_LOCKED)
        locked = {oid for (oid,) in cursor.fetchall()}
    now = _relations(connection)
    if now != seen or not now.keys() <= locked:
        raise Moved
    return Point(connection, snapshot, taken_at.astimezone(UTC), now)


def _explain(connection: Connection, error: psycopg2.Error) -> BackproofError:
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
        return _locked_by(connection)
    if isinstance(error, errors.OutOfMemory):
        return DumpFailed(
            "the server has no room for a lock on every table",
            "Raise max_locks_per_transaction there (a restart is needed), then run the backup again.",
        )
    return translate(error, DumpFailed)


def _locked_by(connection: Connection) -> Busy:
    remedy = "Let that process finish, or end it; then run the backup again."
    try:
        _execute(connection, "ROLLBACK")
        tables = list(_relations(connection))
        with connection.cursor() as cursor:
            cursor.execute(_IN_THE_WAY, [tables])
            for table, pid, application in cursor.fetchall():
                called = f" ({application})" if application else ""
                return Busy(f"table {table} is locked by process {pid}{called} on the database server", remedy)
    except psycopg2.Error as error:
        return Busy(f"a table was locked by another process, and then: {translate(error).fact}", remedy)
    return Busy("a table was locked by another process for too long", "Run the backup again.")


def _relations(connection: Connection) -> Relations:
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return dict(cursor.fetchall())


def _execute(connection: Connection, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _one(rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    (row,) = rows
    return row
