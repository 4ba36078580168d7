"""Who is in the way of an exchange: sessions are ended, locks waited for, several times and with growing patience."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import connected, number, own_sessions, rows
from backproof.errors import Busy
from backproof.findings import listed
from backproof.records import Target

PATIENCE = (1, 2, 4, 8)
"""Seconds that a statement waits for whoever is in the way, attempt by attempt; who comes meanwhile waits behind it."""

_GONE_SECONDS = 10.0
_ORPHANED_SECONDS = 60.0
_DEADLOCK, _WAITED = 1213, 1205

_INSIDE = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s AND ID <> CONNECTION_ID()"
_HOLDING = (
    "SELECT THREAD_ID FROM information_schema.METADATA_LOCK_INFO WHERE TABLE_SCHEMA = %s",
    "SELECT t.PROCESSLIST_ID FROM performance_schema.metadata_locks l JOIN performance_schema.threads t"
    " ON t.THREAD_ID = l.OWNER_THREAD_ID WHERE l.OBJECT_SCHEMA = %s AND t.PROCESSLIST_ID <> CONNECTION_ID()",
)
"""Whoever has touched a table in a transaction that is open; asked where the server was set up to know."""
_ORPHANS = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE %s AND ID <> CONNECTION_ID()"
_OPEN = """
    SELECT concat(p.ID, ' of ', p.USER, coalesce(concat(' in ', p.DB), '')) FROM information_schema.INNODB_TRX t
    JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.ID <> CONNECTION_ID() ORDER BY p.ID
"""


@contextmanager
def session(target: Target) -> Iterator["Connection[pymysql.cursors.Cursor]"]:
    """A connection to no schema, such as the work takes."""
    with connected(target, database=False) as connection:
        prepare(connection)
        yield connection


def prepare(connection: "Connection[pymysql.cursors.Cursor]") -> None:
    """Set all that the work depends on."""
    run(
        connection,
        "SET SESSION time_zone = '+00:00', sql_mode = '', foreign_key_checks = 1, wait_timeout = 86400,"
        " system_versioning_alter_history = KEEP, max_statement_time = 0, autocommit = 1",
    )


def run(connection: "Connection[pymysql.cursors.Cursor]", sql: str) -> None:
    """One statement that changes something."""
    connection.query(sql)


def patiently(
    connection: "Connection[pymysql.cursors.Cursor]", target: Target, sql: str, schemas: Sequence[str]
) -> None:
    """Run a statement that needs tables for itself; sessions in its way are ended.

    Raises:
        Busy: it could not have them in all its attempts.
    """
    for seconds in PATIENCE:
        run(connection, f"SET SESSION lock_wait_timeout = {seconds}")
        try:
            run(connection, sql)
        except pymysql.Error as error:
            if number(error) not in (_DEADLOCK, _WAITED):
                raise
            end_sessions(connection, target, schemas)
        else:
            return
    raise Busy(
        f"tables of {schemas[0]} are in use, after {len(PATIENCE)} attempts{_told(connection)}",
        "End the transactions that hold them (XA RECOVER shows prepared ones); then try again.",
    )


def end_sessions(connection: "Connection[pymysql.cursors.Cursor]", target: Target, schemas: Sequence[str]) -> None:
    """End the sessions of others that use one of two schemas, and wait until they are gone; none of this process."""
    ours = own_sessions(target)
    deadline = time.monotonic() + _GONE_SECONDS
    ended: set[int] = set()
    while left := {number for number in _in_the_way(connection, schemas) if number not in ours}:
        for each in left - ended:
            with suppress(pymysql.Error):  # gone by itself, or not ours to end
                run(connection, f"KILL {each}")
        ended |= left
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def end_orphans(connection: "Connection[pymysql.cursors.Cursor]", target: Target, marker: str) -> None:
    """End what a process that has died left on the server: its rename may wait there still.

    Raises:
        Busy: it goes on and on.
    """
    ours = own_sessions(target)
    deadline = time.monotonic() + _ORPHANED_SECONDS
    while left := [each for (each,) in rows(connection, _ORPHANS, [f"%{marker}%"]) if each not in ours]:
        for each in left:
            with suppress(pymysql.Error):
                run(connection, f"KILL {each}")
        if time.monotonic() > deadline:
            raise Busy("the rename of a process that has died goes on", "Try again when it has ended.")
        time.sleep(0.05)


def _in_the_way(connection: "Connection[pymysql.cursors.Cursor]", schemas: Sequence[str]) -> Iterator[int]:
    for schema in schemas:
        yield from (number for (number,) in rows(connection, _INSIDE, [schema]))
        for sql in _HOLDING:
            with suppress(pymysql.Error):  # what this server does not know
                yield from (number for (number,) in rows(connection, sql, [schema]) if number)


def _told(connection: "Connection[pymysql.cursors.Cursor]") -> str:
    with suppress(pymysql.Error):
        if found := [str(name) for (name,) in rows(connection, _OPEN)]:
            return f"; transactions are open in connection {listed(found)}"
    return ""
