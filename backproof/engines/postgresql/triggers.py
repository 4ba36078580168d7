"""Triggers kept silent for a transaction."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg2.errors
from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import quote_ident
from backproof.errors import AccessDenied

_TRIGGERS = """
    SELECT tgname::text, tgenabled::text FROM pg_catalog.pg_trigger
    WHERE tgrelid = pg_catalog.to_regclass(%s) AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgparentid = 0
"""


@contextmanager
def silent(cursor: Cursor, tables: Iterable[str]) -> Iterator[None]:
    """Triggers of a person do not fire; afterwards each is what it was, and nobody else has seen it otherwise.

    Raises:
        AccessDenied: a table is somebody else's.
    """
    silenced = []
    for table in tables:
        cursor.execute(_TRIGGERS, [table])
        for trigger, state in cursor.fetchall():
            try:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {quote_ident(trigger)}")
            except psycopg2.errors.InsufficientPrivilege:
                raise AccessDenied(
                    f"trigger {trigger} of {table} can't be kept silent, since the table is somebody else's",
                    "Do it as the table's owner or an administrator; for salvage, or say --fire-triggers."
                    " Nothing was changed.",
                ) from None
            silenced.append((table, trigger, "ALWAYS " if state == "A" else ""))
    yield
    if silenced:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks that wait can't be altered
    for name, trigger, always in silenced:
        cursor.execute(f"ALTER TABLE {name} ENABLE {always}TRIGGER {quote_ident(trigger)}")
