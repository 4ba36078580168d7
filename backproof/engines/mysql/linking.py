"""Foreign keys between tables that are replaced and others: found, made again, tried; what they would refuse."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import message, number, rows
from backproof.engines.mysql.definition import Definition, Part, divided
from backproof.engines.mysql.lexer import name_of
from backproof.engines.mysql.names import quote_ident, spell
from backproof.errors import Obstructed
from backproof.records import Orphans

_CHILDREN = """
    SELECT DISTINCT TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE
    WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_SCHEMA = %s AND REFERENCED_TABLE_NAME IS NOT NULL
"""
_REFUSED = (1451, 1452)


@dataclass(frozen=True)
class Link:
    """A foreign key within one schema."""

    table: str
    bare: str
    parent: str
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    definition: str
    """``CONSTRAINT … FOREIGN KEY … REFERENCES …``"""

    @property
    def name(self) -> str:
        """Told apart from all others."""
        return f"{spell(self.table)} {spell(self.bare)}"


def of_definition(table: str, definition: Definition) -> Iterator[Link]:
    """Those of one table that point into its own schema."""
    for part in definition.of("foreign key"):
        schema, parent = part.referenced
        if not schema:
            yield Link(table, part.name, parent, part.columns, _referenced_columns(part), part.text.decode())


def live(connection: "Connection[pymysql.cursors.Cursor]", schema: str, tables: Sequence[str]) -> list[Link]:
    """All that touch these tables now."""
    found = []
    for (child,) in rows(connection, _CHILDREN, [schema, schema]):
        ((_, create, *_),) = rows(connection, f"SHOW CREATE TABLE {quote_ident(schema)}.{quote_ident(child)}")
        found += list(of_definition(child, divided(create.encode())))
    return [link for link in found if link.table in tables or link.parent in tables]


def recorded(table: str, definition: str) -> Link:
    """One that was written down."""
    return next(of_definition(table, divided(b"CREATE TABLE `t` (\n  " + definition.encode() + b"\n)")))


def _referenced_columns(part: Part) -> tuple[str, ...]:
    at = next(place for place, token in enumerate(part.tokens) if token == ("word", b"REFERENCES"))
    found: list[str] = []
    depth = 0
    for kind, text in part.tokens[at:]:
        depth += {b"(": 1, b")": -1}.get(text, 0) if kind == "mark" else 0
        if depth and kind == "name":
            found.append(name_of(text, kind))
        if found and not depth:
            break
    return tuple(found)


def lost(connection: "Connection[pymysql.cursors.Cursor]", link: Link, child: str, parent: str) -> Orphans | None:
    """Rows that point at none, of whatever lies in the place of the two; None where there are none."""
    points = " AND ".join(f"c.{quote_ident(column)} IS NOT NULL" for column in link.columns)
    ((count,),) = rows(
        connection,
        f"SELECT COUNT(*) FROM {child} c WHERE {points}"  # noqa: S608 - quoted names
        f" AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {_same(link)})",
    )
    if not count:
        return None
    return Orphans(table=spell(link.table), foreign_key=link.bare, parent=spell(link.parent), rows=int(count))


def _same(link: Link) -> str:
    pairs = zip(link.columns, link.parent_columns, strict=True)
    return " AND ".join(f"c.{quote_ident(own)} = p.{quote_ident(theirs)}" for own, theirs in pairs)


def obstructed(found: Iterable[Orphans]) -> Obstructed:
    """Why tables are not replaced."""
    return Obstructed(
        f"rows would point at nothing: {'; '.join(map(str, found))}",
        "Replace the tables that they point at as well, or say --accept-orphans. Nothing was changed.",
    )


def tested(
    connection: "Connection[pymysql.cursors.Cursor]", schema: str, links: Iterable[Link]
) -> tuple[list[str], list[str]]:
    """Write through each, and roll back: a row of the child is pointed at a parent that none points at.

    Returns:
        What was tried, and why the rest was not, a sentence each.

    Raises:
        Obstructed: the server refuses it, though the parent is there.
    """
    done, doubts = [], []
    for link in links:
        child, parent = (f"{quote_ident(schema)}.{quote_ident(name)}" for name in (link.table, link.parent))
        others = rows(
            connection,
            f"SELECT {', '.join(f'p.{quote_ident(column)}' for column in link.parent_columns)}"  # noqa: S608
            f" FROM {parent} p WHERE NOT EXISTS (SELECT 1 FROM {child} c WHERE {_same(link)}) LIMIT 1",
        )
        if not others or None in others[0]:
            continue
        values = ", ".join(f"{quote_ident(column).replace('%', '%%')} = %s" for column in link.columns)
        points = " AND ".join(f"{quote_ident(column).replace('%', '%%')} IS NOT NULL" for column in link.columns)
        connection.query("START TRANSACTION")
        try:
            with connection.cursor() as cursor:
                sql = f"UPDATE {child.replace('%', '%%')} SET {values} WHERE {points} LIMIT 1"  # noqa: S608
                if cursor.execute(sql, others[0]):
                    done.append(link.name)
        except pymysql.Error as error:
            if number(error) in _REFUSED:
                raise Obstructed(
                    f"{link.name} refuses a row whose parent is there", "Look at its definition."
                ) from None
            if not connection.open:
                raise
            doubts.append(f"no row was written through {link.name}: {message(error)}")
        finally:
            if connection.open:
                connection.query("ROLLBACK")
    return done, doubts
