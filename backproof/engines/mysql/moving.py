"""Tables that move from schema to schema, in one statement, and what has to be out of their way.

What RENAME TABLE leaves undone is mended afterwards: a default that draws from a sequence names its schema for good.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.code import code
from backproof.engines.mysql.connect import connected, number, number_of, own_sessions, rows
from backproof.engines.mysql.lexer import DEFAULT
from backproof.engines.mysql.names import quote_ident
from backproof.engines.mysql.rewrite import requalified_statement
from backproof.errors import Busy
from backproof.findings import listed
from backproof.records import Target

PATIENCE = (1, 2, 4, 8)
"""Seconds that a statement waits for whoever is in the way, attempt by attempt; who comes meanwhile waits behind it."""

DROPPED = ("EVENT", "VIEW", "PROCEDURE", "FUNCTION", "PACKAGE BODY", "PACKAGE")
"""In this order: what acts on its own first."""

_GONE_SECONDS = 10.0
_ORPHANED_SECONDS = 60.0
_DEADLOCK, _WAITED = 1213, 1205

_TABLES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW' ORDER BY 1"
_DEFAULTS = """
    SELECT c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_DEFAULT FROM information_schema.COLUMNS c
    JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
    WHERE c.TABLE_SCHEMA = %s AND t.TABLE_TYPE <> 'VIEW' AND c.COLUMN_DEFAULT LIKE '%%val(`%%' ORDER BY 1, 2
"""
_TRIGGERS = """
    SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s ORDER BY 1, 2
"""
_STATE = "SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = %s"
_WAITS = "Waiting for table metadata lock"
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


def tables(connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> list[str]:
    """Tables and sequences of a schema."""
    return [name for (name,) in rows(connection, _TABLES, [schema])]


def strip(connection: "Connection[pymysql.cursors.Cursor]", target: Target, schema: str) -> None:
    """Drop all code that a schema has, but for triggers; what is gone already is not dropped again.

    Raises:
        Busy: somebody is in the way.
    """
    there = [(kind, name) for kind, name, _ in code(connection, schema) if kind in DROPPED]
    for kind, name in sorted(there, key=lambda each: DROPPED.index(each[0])):
        # Only in its own mode the server knows what a package is.
        run(connection, f"SET SESSION sql_mode = '{'ORACLE' if kind.startswith('PACKAGE') else ''}'")
        patiently(connection, target, f"DROP {kind} {_of(schema, name)}", (schema,))
    run(connection, "SET SESSION sql_mode = ''")


def rename(
    connection: "Connection[pymysql.cursors.Cursor]", target: Target, moves: Sequence[tuple[str, str]], last: str
) -> None:
    """Move all tables and sequences, those of one schema after those of another, in one statement: all or none.

    No table with a trigger can be moved. So these are locked while their triggers go, and unlocked when the rename
    waits for them, with everything else in its hands: who was waiting to write is ended, and only who comes anew in
    the very moment of unlocking may write past a trigger, to what is set aside.

    Args:
        moves: from which schema to which.
        last: a table that moves at the very end.

    Raises:
        Busy: somebody is in the way.
    """
    schemas = tuple(old for old, _ in moves)
    pairs = [(old, new, name) for old, new in moves for name in tables(connection, old)]
    pairs.sort(key=lambda each: each[2] == last)
    statement = "RENAME TABLE " + ", ".join(f"{_of(old, name)} TO {_of(new, name)}" for old, new, name in pairs)
    watched = [(old, *row) for old in schemas for row in rows(connection, _TRIGGERS, [old])]
    if not watched:
        patiently(connection, target, statement, schemas)
        return
    with session(target) as keeper:
        kept = sorted({(schema, table) for schema, table, _ in watched})
        locks = ", ".join(f"{_of(schema, table)} WRITE" for schema, table in kept)
        patiently(keeper, target, f"LOCK TABLES {locks}", schemas)
        for schema, _, trigger in watched:
            run(keeper, f"DROP TRIGGER {_of(schema, trigger)}")
        with ThreadPoolExecutor(1) as pool:
            renamed = pool.submit(patiently, connection, target, statement, schemas)
            _await_waiting(keeper, connection, renamed)
            end_sessions(keeper, target, schemas)
            run(keeper, "UNLOCK TABLES")
            renamed.result()


def _await_waiting(
    keeper: "Connection[pymysql.cursors.Cursor]", connection: "Connection[pymysql.cursors.Cursor]", done: "Future[None]"
) -> None:
    """Until a statement waits for what is locked; or has ended, which it then does with an error."""
    while not done.done() and rows(keeper, _STATE, [number_of(connection)]) != [(_WAITS,)]:
        time.sleep(0.005)


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


def mend_defaults(
    connection: "Connection[pymysql.cursors.Cursor]", target: Target, schema: str, former: Sequence[str]
) -> None:
    """Let columns draw from the sequences of their own schema, where they name one it had before."""
    own = quote_ident(schema)
    changes: dict[str, list[str]] = {}
    for table, column, default in rows(connection, _DEFAULTS, [schema]):
        text = default.encode()
        for name in former:
            text = requalified_statement(text, DEFAULT, name, own.encode())
        if text != default.encode():
            changes.setdefault(table, []).append(f"ALTER {quote_ident(column)} SET DEFAULT ({text.decode()})")
    for table, columns in changes.items():
        patiently(connection, target, f"ALTER TABLE {_of(schema, table)} {', '.join(columns)}", (schema,))


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


def _of(schema: str, name: str) -> str:
    return f"{quote_ident(schema)}.{quote_ident(name)}"
