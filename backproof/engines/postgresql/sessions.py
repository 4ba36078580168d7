"""Connections that fill a PostgreSQL database together, and what a server's refusal means there."""

from collections.abc import Sequence
from contextlib import suppress

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from backproof.engines.postgresql.connect import cancel, connect, translate
from backproof.errors import BackproofError, RestoreFailed
from backproof.parallel import sessions as parallel
from backproof.records import Target

Connection = psycopg2.extensions.connection
Sessions = parallel.Sessions[Connection]

_REMEDY = "The archive was not changed. Remove the cause, drop the new database and restore again."


def sessions(target: Target, settings: Sequence[bytes]) -> Sessions:
    """Connections to one target.

    Args:
        target: the database to fill.
        settings: statements that every session runs first.
    """
    return Sessions(_Driver(target, settings))


class _Driver:
    def __init__(self, target: Target, settings: Sequence[bytes]) -> None:
        self._target = target
        self._settings = settings

    def open(self) -> Connection:
        return connect(self._target, autocommit=True, application_name="backproof restore")

    def prepare(self, connection: Connection) -> None:
        for setting in self._settings:
            execute(connection, setting, "the session settings")

    def cancel(self, connection: Connection) -> None:
        cancel(connection)

    def close(self, connection: Connection) -> None:
        with suppress(psycopg2.Error):
            connection.close()


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
