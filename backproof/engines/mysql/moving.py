"""Tables that move from schema to schema in one statement, and the code that has to go before.

What RENAME TABLE leaves undone is mended afterwards: a default that draws from a sequence names its schema for good.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.clearing import end_sessions, patiently, run, session
from backproof.engines.mysql.code import Code
from backproof.engines.mysql.connect import end, message, number_of, rows, translate
from backproof.engines.mysql.lexer import DEFAULT
from backproof.engines.mysql.names import quote_ident
from backproof.engines.mysql.rewrite import requalified_statement
from backproof.errors import AccessDenied, Transient
from backproof.records import Target

DROPPED = ("EVENT", "VIEW", "PROCEDURE", "FUNCTION", "PACKAGE BODY", "PACKAGE")
"""In this order: what acts on its own first."""

_TABLES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW' ORDER BY 1"
_SEQUENCES = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'SEQUENCE' LIMIT 1"
_DEFAULTS = """
    SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = %s AND COLUMN_DEFAULT LIKE '%%val(`%%' ORDER BY 1, 2
"""
_STATE = "SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = %s"
_WAITS = "Waiting for table metadata lock"


def tables(connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> list[str]:
    """Tables and sequences of a schema."""
    return [name for (name,) in rows(connection, _TABLES, [schema])]


def unopenable(
    connection: "Connection[pymysql.cursors.Cursor]", schema: str, names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Which of these tables the server itself can't open, with its words: they can be dropped, and not be moved."""
    for name in names:
        try:
            rows(connection, f"SHOW CREATE TABLE {_of(schema, name)}")
        except pymysql.Error as error:
            why = translate(error)
            if isinstance(why, Transient):  # it says nothing of the table
                raise
            if not isinstance(why, AccessDenied):  # whether this account may is another question
                yield name, message(error)


def strip(connection: "Connection[pymysql.cursors.Cursor]", target: Target, schema: str, there: Sequence[Code]) -> None:
    """Drop the code that a schema has, but for triggers.

    Raises:
        Busy: somebody is in the way.
    """
    found = [(each.kind, each.name) for each in there if each.kind in DROPPED]
    for kind, name in sorted(found, key=lambda each: DROPPED.index(each[0])):
        # Only in its own mode the server knows what a package is.
        run(connection, f"SET SESSION sql_mode = '{'ORACLE' if kind.startswith('PACKAGE') else ''}'")
        patiently(connection, target, f"DROP {kind} {_of(schema, name)}", (schema,))
    run(connection, "SET SESSION sql_mode = ''")


def rename(
    connection: "Connection[pymysql.cursors.Cursor]",
    target: Target,
    moves: Sequence[tuple[str, str]],
    last: str,
    there: Mapping[str, Sequence[Code]],
) -> None:
    """Move all tables and sequences, those of one schema after those of another, in one statement: all or none.

    No table with a trigger can be moved. So these are locked while their triggers go, and unlocked when the rename
    waits for them, with everything else in its hands: who was waiting to write is ended, and only who comes anew in
    the very moment of unlocking may write past a trigger, to what is set aside.

    Args:
        moves: from which schema to which.
        last: a table that moves at the very end.
        there: the code of each schema, of which triggers are left.

    Raises:
        Busy: somebody is in the way.
    """
    schemas = tuple(old for old, _ in moves)
    pairs = [(old, new, name) for old, new in moves for name in tables(connection, old)]
    pairs.sort(key=lambda each: each[2] == last)
    statement = "RENAME TABLE " + ", ".join(f"{_of(old, name)} TO {_of(new, name)}" for old, new, name in pairs)
    watched = [(old, each.table, each.name) for old in schemas for each in there[old] if each.kind == "TRIGGER"]
    if not watched:
        patiently(connection, target, statement, schemas)
        return
    with session(target) as keeper:
        locked = _lock(keeper, target, sorted({(schema, table) for schema, table, _ in watched}), schemas)
        for schema, _, trigger in watched:
            patiently(keeper, target, f"DROP TRIGGER {_of(schema, trigger)}", schemas)
        if not locked:
            patiently(connection, target, statement, schemas)
            return
        with ThreadPoolExecutor(1) as pool:
            renamed = pool.submit(patiently, connection, target, statement, schemas)
            try:
                _await_waiting(keeper, connection, renamed)
                end_sessions(keeper, target, schemas)
                run(keeper, "UNLOCK TABLES")
                renamed.result()
            except BaseException:
                end(target, connection)  # it waits for what the keeper holds, which lasts until it has ended
                raise


def expect_free(connection: "Connection[pymysql.cursors.Cursor]", target: Target, schemas: Sequence[str]) -> None:
    """End who uses tables, and find out whether they can be had, before anything is changed.

    Raises:
        Busy: somebody is in the way who can't be ended.
    """
    end_sessions(connection, target, schemas)
    _lock(connection, target, [(schema, table) for schema in schemas for table in tables(connection, schema)], schemas)
    run(connection, "UNLOCK TABLES")


def _lock(
    connection: "Connection[pymysql.cursors.Cursor]",
    target: Target,
    names: Sequence[tuple[str, str]],
    schemas: Sequence[str],
) -> bool:
    """Keep everybody else from tables; False where the server can't, as where their code names what is gone."""
    if not names:
        return False
    try:
        locks = ", ".join(f"{_of(schema, table)} WRITE" for schema, table in names)
        patiently(connection, target, f"LOCK TABLES {locks}", schemas)
    except pymysql.Error:
        if not connection.open:
            raise
        return False
    return True


def _await_waiting(
    keeper: "Connection[pymysql.cursors.Cursor]", connection: "Connection[pymysql.cursors.Cursor]", done: "Future[None]"
) -> None:
    """Until a statement waits for what is locked; or has ended, which it then does with an error."""
    while not done.done() and rows(keeper, _STATE, [number_of(connection)]) != [(_WAITS,)]:
        time.sleep(0.005)


def mend_defaults(
    connection: "Connection[pymysql.cursors.Cursor]", target: Target, schema: str, former: Sequence[str]
) -> None:
    """Let columns draw from the sequences of their own schema, where they name one it had before."""
    if not rows(connection, _SEQUENCES, [schema]):
        return
    own, known = quote_ident(schema), set(tables(connection, schema))
    changes: dict[str, list[str]] = {}
    for table, column, default in rows(connection, _DEFAULTS, [schema]):
        text = default.encode()
        for name in former:
            text = requalified_statement(text, DEFAULT, name, own.encode())
        if table in known and text != default.encode():
            changes.setdefault(table, []).append(f"ALTER {quote_ident(column)} SET DEFAULT ({text.decode()})")
    for table, columns in changes.items():
        patiently(connection, target, f"ALTER TABLE {_of(schema, table)} {', '.join(columns)}", (schema,))


def _of(schema: str, name: str) -> str:
    return f"{quote_ident(schema)}.{quote_ident(name)}"
