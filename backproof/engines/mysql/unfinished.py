"""A schema that is being restored holds a table that says so until it is whole, also when whoever fills it dies."""

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.full_disk import awaiting_room
from backproof.engines.mysql.names import quote_ident, quote_literal, spell
from backproof.records import Manifest, Target

_TABLE = "backproof_unfinished_restore"
_TOLD = "This schema is not whole:"


@contextmanager
def unfinished(target: Target, manifest: Manifest) -> Iterator[None]:
    """Mark the schema for the length of the context, and for good where that ends with an error.

    Raises:
        NoSpace: the server waits for room on its disk for too long.
    """
    own = frozenset(table.name.lower() for table in manifest.tables)
    name = _TABLE
    while spell(name) in own:  # the archive may be of a schema that was not whole either
        name += "_"
    told = f"{_TOLD} a restore of {manifest.id} into it has not finished."
    schema = quote_ident(target.database)
    with awaiting_room(target):
        with connected(target, database=False) as connection:
            rows(
                connection,
                f"CREATE TABLE IF NOT EXISTS {schema}.{quote_ident(name)} (a int PRIMARY KEY)"
                f" COMMENT {quote_literal(told)}",
            )
        yield
        with connected(target, database=False) as connection:
            for mark in marks(connection, target.database):
                if spell(mark) not in own:
                    rows(connection, f"DROP TABLE {schema}.{quote_ident(mark)}")


def marks(connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> list[str]:
    """The tables that say so of a schema."""
    found = rows(
        connection,
        "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME >= %s",
        [schema, _TABLE],
    )
    return [name for name, comment in found if name.startswith(_TABLE) and comment.startswith(_TOLD)]
