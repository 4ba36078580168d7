"""Foreign keys between tables that are replaced and others: found, made again, tried; what they would refuse."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from backproof.engines import Entry, Source
from backproof.engines.postgresql.connect import message, quote_ident
from backproof.engines.postgresql.held import Holding
from backproof.engines.postgresql.live_tables import live_table
from backproof.engines.postgresql.script import NAME, QUALIFIED
from backproof.engines.postgresql.text import decode
from backproof.engines.postgresql.triggers import silent
from backproof.errors import Obstructed
from backproof.records import Orphans

_ADD = re.compile(
    rb"ALTER TABLE (?:ONLY )?(?P<table>" + QUALIFIED + rb")\s+ADD CONSTRAINT (?P<name>" + NAME + rb") (?P<definition>"
    rb'FOREIGN KEY \((?:[^")]|"[^"]*")*\) REFERENCES (?P<parent>' + QUALIFIED + rb").*);",
    re.DOTALL,
)
_REFERENCES = re.compile(r" REFERENCES (" + QUALIFIED.decode("latin-1") + r")")

_LIVE = """
    SELECT n.nspname::text, c.relname::text, con.conname::text, pg_catalog.pg_get_constraintdef(con.oid)
    FROM pg_catalog.pg_constraint con JOIN pg_catalog.pg_class c ON c.oid = con.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE con.contype = 'f' AND con.conparentid = 0
      AND (con.conrelid = ANY (%(tables)s) OR con.confrelid = ANY (%(tables)s))
    ORDER BY 1, 2, 3
"""
_NUMBERS = """
    SELECT ARRAY (SELECT pg_catalog.to_regclass(name)::oid::bigint FROM pg_catalog.unnest(%s::text[]) AS t (name)
                  WHERE pg_catalog.to_regclass(name) IS NOT NULL)
"""


@dataclass(frozen=True)
class Link:
    """A foreign key."""

    table: str
    bare: str
    """Its own name, unquoted."""
    parent: str
    definition: str
    """``FOREIGN KEY (…) REFERENCES …``"""

    @property
    def name(self) -> str:
        """Told apart from all others."""
        return f"{self.table} {quote_ident(self.bare)}"

    @property
    def is_not_validated(self) -> bool:
        """Whether its rows were never looked at, or not all of them."""
        return self.definition.endswith(" NOT VALID")


def live(cursor: Cursor, tables: Sequence[str]) -> list[Link]:
    """All that touch these tables now; ``search_path`` is empty."""
    cursor.execute(_NUMBERS, [list(tables)])
    ((numbers,),) = cursor.fetchall()
    cursor.execute(_LIVE, {"tables": numbers})
    return [
        Link(f"{quote_ident(schema)}.{quote_ident(table)}", name, _parent(definition), definition)
        for schema, table, name, definition in cursor.fetchall()
    ]


def archived(entry: Entry) -> Link:
    """One of an archive."""
    match = _ADD.search(entry.text)
    if match is None:
        raise ValueError(f"{entry.key} is no foreign key as pg_dump writes it")
    name = decode(match["name"])
    bare = name[1:-1].replace('""', '"') if name.startswith('"') else name
    return Link(decode(match["table"]), bare, decode(match["parent"]), decode(match["definition"]))


def recorded(name: str, definition: str) -> Link:
    """One that was written down, by its ``name``."""
    match = re.fullmatch(rf"({QUALIFIED.decode('latin-1')}) ({NAME.decode('latin-1')})", name)
    if match is None:
        raise ValueError(f"{name!r} is no name of a foreign key")
    bare = match[2][1:-1].replace('""', '"') if match[2].startswith('"') else match[2]
    return Link(match[1], bare, _parent(definition), definition)


def _parent(definition: str) -> str:
    match = _REFERENCES.search(definition)
    return match[1] if match else ""


def add(cursor: Cursor, links: Iterable[Link], accept_orphans: bool) -> list[Orphans]:
    """Make them; the server looks at every row.

    Returns:
        Those that not all rows fulfil. Where that is accepted, they are there and not validated.
    """
    broken = []
    for link in links:
        made = f"ALTER TABLE {link.table} ADD CONSTRAINT {quote_ident(link.bare)} {link.definition}"
        cursor.execute("SAVEPOINT link")
        try:
            cursor.execute(made)
        except psycopg2.errors.ForeignKeyViolation:
            cursor.execute("ROLLBACK TO SAVEPOINT link")
            cursor.execute(f"{made} NOT VALID")
            broken.append(_orphans(cursor, link))
        cursor.execute("RELEASE SAVEPOINT link")
    return broken


def _orphans(cursor: Cursor, link: Link) -> Orphans:
    child, parent = live_table(cursor, link.table), live_table(cursor, link.parent)
    each = next(one for one in child.links if one.name == link.bare)
    return Orphans(
        table=link.table,
        foreign_key=link.bare,
        parent=link.parent,
        rows=_lost(cursor, child.rows, parent.rows, each.columns, each.parent_columns),
    )


def _lost(cursor: Cursor, child: str, parent: str, own: Sequence[str], theirs: Sequence[str]) -> int:
    points = " AND ".join(f"c.{quote_ident(column)} IS NOT NULL" for column in own)
    there = " AND ".join(
        f"c.{quote_ident(one)} = p.{quote_ident(other)}" for one, other in zip(own, theirs, strict=True)
    )
    cursor.execute(
        f"SELECT count(*) FROM {child} c WHERE {points}"  # noqa: S608 - quoted names
        f" AND NOT EXISTS (SELECT FROM {parent} p WHERE {there})"
    )
    ((count,),) = cursor.fetchall()
    return int(count)


def orphans(connection: Connection, source: Source, tables: Sequence[str]) -> tuple[Orphans, ...]:
    """What would point at nothing, counted beforehand with the backup's rows beside the live ones."""
    holding = Holding(connection, source)
    found = []
    with connection.cursor() as cursor:
        links = live(cursor, tables)
        there = {name for link in links for name in (link.table, link.parent) if name in tables}
        held = {name: holding.hold(live_table(cursor, name)) for name in sorted(there)}
        for link in links:
            if link.is_not_validated or (link.table in held and link.parent in held):
                continue  # the backup's rows are of one moment
            child = live_table(cursor, link.table)
            each = next(one for one in child.links if one.name == link.bare)
            mine = held[link.table].columns if link.table in held else tuple(child.columns)
            if not set(each.columns) <= set(mine):
                continue
            count = _lost(
                cursor,
                held[link.table].temporary if link.table in held else child.rows,
                held[link.parent].temporary if link.parent in held else live_table(cursor, link.parent).rows,
                each.columns,
                each.parent_columns,
            )
            if count:
                found.append(Orphans(table=link.table, foreign_key=link.bare, parent=link.parent, rows=count))
    return tuple(found)


def obstructed(found: Iterable[Orphans]) -> Obstructed:
    """Why tables are not replaced."""
    return Obstructed(
        f"rows would point at nothing: {'; '.join(map(str, found))}",
        "Replace the tables that they point at as well, or say --accept-orphans. Nothing was changed.",
    )


def tested(cursor: Cursor, links: Iterable[Link]) -> tuple[list[str], list[str]]:
    """Write through each: a row of the child is pointed at another parent, and back. Gives what was tried, and why not.

    Raises:
        Obstructed: the server refuses it, though the parent is there.
    """
    done, doubts = [], []
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for link in links:
        each = next(one for one in live_table(cursor, link.table).links if one.name == link.bare)
        own, theirs = (", ".join(map(quote_ident, columns)) for columns in (each.columns, each.parent_columns))
        points = " AND ".join(f"{quote_ident(column)} IS NOT NULL" for column in each.columns)
        cursor.execute("SAVEPOINT tried")
        try:
            with silent(cursor, [link.table]):
                cursor.execute(
                    f"UPDATE {link.table} SET ({own}) = (SELECT {theirs} FROM {link.parent} p"  # noqa: S608
                    f" WHERE NOT EXISTS (SELECT FROM {link.table} c WHERE {_same(each.columns, each.parent_columns)})"
                    f" LIMIT 1) WHERE ctid = (SELECT ctid FROM {link.table} WHERE {points} LIMIT 1)"
                    f" AND EXISTS (SELECT FROM {link.parent} p"
                    f" WHERE NOT EXISTS (SELECT FROM {link.table} c WHERE {_same(each.columns, each.parent_columns)}))"
                )
                if cursor.rowcount:
                    done.append(link.name)
        except psycopg2.errors.ForeignKeyViolation:
            raise Obstructed(f"{link.name} refuses a row whose parent is there", "Nothing was changed.") from None
        except psycopg2.Error as error:
            if cursor.connection.closed:
                raise
            doubts.append(f"no row was written through {link.name}: {message(error)}")
        cursor.execute("ROLLBACK TO SAVEPOINT tried")
    return done, doubts


def _same(own: Sequence[str], theirs: Sequence[str]) -> str:
    return " AND ".join(
        f"c.{quote_ident(one)} = p.{quote_ident(other)}" for one, other in zip(own, theirs, strict=True)
    )


def is_partitioned(cursor: Cursor, name: str) -> bool:
    """Whether it has no rows of its own."""
    cursor.execute("SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%s)", [name])
    return cursor.fetchone() == (True,)
