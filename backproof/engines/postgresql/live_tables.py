"""A live table as the catalogue has it: columns, key, foreign keys, what keeps rows out."""

from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import quote_ident
from backproof.errors import NotFound

_TABLE = """
    SELECT c.oid::bigint, c.relkind = 'p',
           EXISTS (SELECT FROM pg_catalog.pg_trigger t
                   WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'),
           EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND NOT i.indimmediate)
    FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(%s) AND c.relkind IN ('r', 'p')
"""
_COLUMNS = """
    SELECT attname::text, pg_catalog.format_type(atttypid, atttypmod), attgenerated <> '',
           pg_catalog.pg_get_serial_sequence(%s, attname::text)
    FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEY = """
    SELECT a.attname::text FROM pg_catalog.pg_index i
    CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = %s AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place
"""
_LINKS = """
    SELECT con.conname::text, n.nspname::text, p.relname::text,
           ARRAY (SELECT a.attname::text FROM pg_catalog.unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
                  JOIN pg_catalog.pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum ORDER BY place),
           ARRAY (SELECT a.attname::text FROM pg_catalog.unnest(con.confkey) WITH ORDINALITY AS k (attnum, place)
                  JOIN pg_catalog.pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.attnum ORDER BY place)
    FROM pg_catalog.pg_constraint con JOIN pg_catalog.pg_class p ON p.oid = con.confrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
    WHERE con.conrelid = %s AND con.contype = 'f'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint whole
                      WHERE whole.oid = con.conparentid AND whole.conrelid = con.conrelid)
    ORDER BY con.conname
"""


@dataclass(frozen=True)
class Column:
    """One column of a live table."""

    type: str
    """With its length and the like, qualified."""
    computed: bool
    """Generated of others."""
    sequence: str | None
    """The sequence that is its own."""


@dataclass(frozen=True)
class Link:
    """A foreign key."""

    name: str
    columns: tuple[str, ...]
    parent: str
    """As ``Table.name`` writes it."""
    parent_columns: tuple[str, ...]


@dataclass(frozen=True)
class LiveTable:
    """One live table."""

    name: str
    oid: int
    partitioned: bool
    has_triggers: bool
    """Of a person, and switched on."""
    has_deferred_keys: bool
    """A unique key that is looked at late, which no ``ON CONFLICT`` is about."""
    columns: dict[str, Column]
    key: tuple[str, ...]
    links: tuple[Link, ...]

    @property
    def rows(self) -> str:
        """What to say behind FROM."""
        return self.name if self.partitioned else f"ONLY {self.name}"


def live_table(cursor: Cursor, name: str) -> LiveTable:
    """Look it up.

    Raises:
        NotFound: there is no such table.
    """
    cursor.execute(_TABLE, [name])
    found = cursor.fetchone()
    if found is None:
        raise NotFound(
            f"the live database has no table {name}",
            "Nothing can be compared: `backproof recover --tables` brings back a table that was dropped.",
        )
    oid, partitioned, has_triggers, has_deferred_keys = found
    cursor.execute(_COLUMNS, [name, oid])
    columns = {column: Column(*rest) for column, *rest in cursor.fetchall()}
    cursor.execute(_KEY, [oid])
    key = tuple(column for (column,) in cursor.fetchall())
    cursor.execute(_LINKS, [oid])
    links = tuple(
        Link(link, tuple(own), f"{quote_ident(schema)}.{quote_ident(parent)}", tuple(theirs))
        for link, schema, parent, own, theirs in cursor.fetchall()
    )
    return LiveTable(name, oid, partitioned, has_triggers, has_deferred_keys, columns, key, links)
