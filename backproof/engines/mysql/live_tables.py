"""A table of a schema as the catalogue has it: columns, keys, foreign keys, what keeps rows out or runs code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import rows
from backproof.engines.mysql.names import quote_ident, spell
from backproof.errors import NotFound

_COLUMNS = """
    SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, COALESCE(GENERATION_EXPRESSION, '') <> ''
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""
_UNIQUE = """
    SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX
"""
_LINKS = """
    SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
    FROM information_schema.KEY_COLUMN_USAGE
    WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND REFERENCED_TABLE_NAME IS NOT NULL
    ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION
"""
_TRIGGERS = """
    SELECT TRIGGER_NAME FROM information_schema.TRIGGERS
    WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s AND EVENT_MANIPULATION = 'INSERT'
"""

_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"})
_WHOLE = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "year"})
_APPROXIMATE = frozenset({"float", "double"})
_BINARY = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit"})
_SHAPES = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
     "geometrycollection", "geomcollection"}
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column."""

    type: str
    charset: str | None
    collation: str | None
    computed: bool

    def exactly(self, value: str) -> str:
        """What of a value is compared: what a dump would write, byte for byte."""
        if self.type in _TEXTS:
            return f"CAST(CONVERT({value} USING utf8mb4) AS BINARY)"
        if self.type in _APPROXIMATE:
            return f"CAST({value} AS CHAR)"
        return f"HEX({value})" if self.type in _SHAPES else value

    def shown(self, value: str) -> str:
        """A value as it is written down; whole numbers stay numbers, so that they are sorted as such."""
        if self.type in _WHOLE:
            return value
        if self.type in _BINARY | _SHAPES:
            return f"CONCAT('0x', HEX({value}))"
        return f"CONVERT({value} USING utf8mb4)" if self.type in _TEXTS else f"CAST({value} AS CHAR)"


@dataclass(frozen=True)
class Link:
    """A foreign key."""

    name: str
    columns: tuple[str, ...]
    parent_schema: str
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True)
class SchemaTable:
    """One table."""

    schema: str
    bare: str
    columns: dict[str, Column]
    unique: dict[str, tuple[tuple[str, int | None], ...]]
    """Unique keys: columns, and how many characters of each where that is not all."""
    links: tuple[Link, ...]
    triggers: tuple[str, ...]
    """That fire when a row is inserted."""
    engine: str

    @property
    def name(self) -> str:
        """As ``Table.name`` writes it."""
        return spell(self.bare)

    @property
    def rows(self) -> str:
        """What to say behind FROM."""
        return f"{quote_ident(self.schema)}.{quote_ident(self.bare)}"

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns."""
        return tuple(column for column, _ in self.unique.get("PRIMARY", ()))


def schema_table(connection: "Connection[pymysql.cursors.Cursor]", schema: str, name: str) -> SchemaTable:
    """Look it up.

    Raises:
        NotFound: there is no such table.
    """
    place = [schema, name]
    found = rows(
        connection, "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", place
    )
    if not found:
        raise NotFound(
            f"the live database has no table {spell(name)}",
            "Nothing can be compared: `backproof recover --tables` brings back a table that was dropped.",
        )
    columns = {
        column: Column(kind.lower(), charset, collation, bool(computed))
        for column, kind, charset, collation, computed in rows(connection, _COLUMNS, place)
    }
    unique: dict[str, tuple[tuple[str, int | None], ...]] = {}
    for index, column, part in rows(connection, _UNIQUE, place):
        unique[index] = (*unique.get(index, ()), (column, part))
    triggers = tuple(trigger for (trigger,) in rows(connection, _TRIGGERS, place))
    return SchemaTable(
        schema, name, columns, unique, tuple(_links(rows(connection, _LINKS, place))), triggers, str(found[0][0])
    )


def _links(found: Sequence[tuple[str, ...]]) -> Iterator[Link]:
    for name in dict.fromkeys(row[0] for row in found):
        own = [row for row in found if row[0] == name]
        yield Link(name, tuple(row[1] for row in own), own[0][2], own[0][3], tuple(row[4] for row in own))
