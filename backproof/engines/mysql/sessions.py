"""Connections that fill a schema together, and what a server's refusal means there."""

from collections.abc import Sequence
from contextlib import suppress

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import connect
from backproof.errors import AccessDenied, BackproofError, RestoreFailed
from backproof.parallel import sessions as parallel
from backproof.records import Target

Sessions = parallel.Sessions["Connection[pymysql.cursors.Cursor]"]

_STRICT = frozenset({1005, 1118, 1478})
"""Refusals of a table that a server without ``innodb_strict_mode`` takes, with a warning: options that InnoDB has not,
rows that may become too long."""

_REMEDY = "The archive was not changed. Remove the cause, drop the new database and restore again."


def sessions(target: Target, settings: Sequence[bytes], wished: Sequence[bytes] = ()) -> Sessions:
    """Connections to one target.

    Args:
        target: the schema to fill.
        settings: statements that every session runs first.
        wished: further ones, which a server may refuse.
    """
    return Sessions(_Driver(target, settings, wished))


class _Driver:
    def __init__(self, target: Target, settings: Sequence[bytes], wished: Sequence[bytes]) -> None:
        self._target = target
        self._settings = settings
        self._wished = wished

    def open(self) -> "Connection[pymysql.cursors.Cursor]":
        return connect.connect(self._target, local_rows=True)

    def prepare(self, connection: "Connection[pymysql.cursors.Cursor]") -> None:
        for setting in self._settings:
            execute(connection, setting, "the session settings")
        for setting in self._wished:
            with suppress(RestoreFailed, AccessDenied):
                execute(connection, setting, "the session settings")

    def cancel(self, connection: "Connection[pymysql.cursors.Cursor]") -> None:
        connect.cancel(self._target, connection)

    def close(self, connection: "Connection[pymysql.cursors.Cursor]") -> None:
        connect.close(connection)


def execute(connection: "Connection[pymysql.cursors.Cursor]", sql: bytes, what: str) -> int:
    """Send one statement as it is, bytes of whatever character set; rows that it returns are thrown away.

    Args:
        connection: in autocommit mode, or within a transaction.
        sql: without a delimiter.
        what: the entry, for the error.

    Returns:
        How many rows it changed.

    Raises:
        RestoreFailed: the server refused; names the entry, with the server's words but no row.
        ConnectionLost: it went away.
    """
    try:
        return int(connection.query(sql))
    except pymysql.Error as error:
        raise refusal(error, what) from None


def make(connection: "Connection[pymysql.cursors.Cursor]", sql: bytes, what: str) -> bool:
    """Send a statement that makes a table or alters it, once more without ``innodb_strict_mode`` where that refuses it.

    A server is strict by default since MariaDB 10.2 and MySQL 5.7, and still has the tables of the time before.

    Returns:
        Whether it was taken at once.

    Raises:
        RestoreFailed: the server refused both times; in its first words.
        ConnectionLost: it went away.
    """
    try:
        connection.query(sql)
        return True
    except pymysql.Error as error:
        found = refusal(error, what)
        if connect.number(error) not in _STRICT:
            raise found from None
    try:
        connection.query(b"SET @strict = @@SESSION.innodb_strict_mode, SESSION innodb_strict_mode = OFF")
        try:
            connection.query(sql)
        finally:
            connection.query(b"SET SESSION innodb_strict_mode = @strict")
    except pymysql.Error:
        raise found from None
    return False


def refusal(error: pymysql.Error, what: str) -> BackproofError:
    """What a server's refusal means here: the entry or table, and the server's words without values."""
    found = connect.translate(error, RestoreFailed)
    return type(found)(f"cannot restore {what}: {found.fact}", found.remedy or _REMEDY)
