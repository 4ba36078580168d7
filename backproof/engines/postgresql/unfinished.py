"""A database that is being restored says so in its comment until it is whole, also when whoever fills it dies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import connected, quote_ident, quote_literal
from backproof.errors import AccessDenied
from backproof.records import Manifest, Target

_MARK = "Backproof: this database is not whole. A restore of "


@contextmanager
def unfinished(target: Target, manifest: Manifest) -> Iterator[None]:
    """Mark the database for the length of the context, and for good where that ends with an error.

    The comment it had comes back, unless another was given meanwhile. Who may not comment on it marks nothing.
    """
    mark = f"{_MARK}{manifest.id} into it has not finished."
    with suppress(AccessDenied), connected(target) as connection, connection.cursor() as cursor:
        before = told = _comment(cursor)
        if told is not None and told.startswith(_MARK):
            before = None
        _set(cursor, target, mark)
    yield
    with suppress(AccessDenied), connected(target) as connection, connection.cursor() as cursor:
        if _comment(cursor) == mark:
            _set(cursor, target, before)


def is_unfinished(cursor: Cursor) -> bool:
    """Whether the database of this session was left, or is being filled, by a restore."""
    comment = _comment(cursor)
    return comment is not None and comment.startswith(_MARK)


def _comment(cursor: Cursor) -> str | None:
    cursor.execute(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
        " WHERE datname = pg_catalog.current_database()"
    )
    ((comment,),) = cursor.fetchall()
    return None if comment is None else str(comment)


def _set(cursor: Cursor, target: Target, comment: str | None) -> None:
    text = "NULL" if comment is None else quote_literal(comment)
    cursor.execute(f"COMMENT ON DATABASE {quote_ident(target.database)} IS {text}")
