"""The rows of one table of a backup beside the live ones: counted, written down, put back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from backproof.engines import Source
from backproof.engines.mysql.connect import rows
from backproof.engines.mysql.held import Held, Holding, holding
from backproof.engines.mysql.live_tables import SchemaTable, schema_table
from backproof.engines.mysql.names import quote_ident
from backproof.engines.mysql.putting_back import put_back
from backproof.errors import ConfigurationError
from backproof.records import PutBack, RowCounts, Target

_AT_ONCE = 1000
"""Rows that are asked of the server's stream together."""


@contextmanager
def beside(
    source: Source, target: Target, room: Target, table: str, key: Sequence[str], jobs: int
) -> Iterator["MysqlBeside"]:
    """The contract is ``Engine.beside``."""
    with holding(source, target, room, jobs) as opened:
        name = opened.resolve(table)
        chosen = _key(schema_table(opened.connection, target.database, name), key)  # before anything is restored
        held = opened.hold(name)
        if lacking := [column for column in chosen if column not in held.columns]:
            raise ConfigurationError(
                f"{', '.join(lacking)} of {held.live.name} is in the live table alone, or a function of others",
                "Name other columns: --key a,b.",
            )
        _require_key(opened, held, chosen)
        yield MysqlBeside(opened, held, chosen)


class MysqlBeside:
    """The contract is ``backproof.engines.Beside``."""

    def __init__(self, opened: Holding, held: Held, key: tuple[str, ...]) -> None:
        self._opened = opened
        self._held = held
        self.table = held.live.name
        self.key = key
        self.columns = held.columns

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that only one of the two has, or that are computed."""
        live, kept = self._held.live.columns, self._held.kept.columns
        computed = [column for column in live if live[column].computed or (column in kept and kept[column].computed)]
        return (
            *(f"column {column} is not compared: only the backup has it" for column in kept if column not in live),
            *(
                f"column {column} is not compared: only the live table has it"
                for column in live
                if column not in kept and column not in computed
            ),
            *(f"column {column} is not compared: it is a function of others" for column in computed),
        )

    def counts(self) -> RowCounts:
        """One statement, and so one moment."""
        b, live, same = self._held.kept.rows, self._held.live.rows, self._held.same(self.key)
        ((backup, there, missing, changed, new),) = rows(
            self._opened.connection,
            f"SELECT (SELECT COUNT(*) FROM {b}), (SELECT COUNT(*) FROM {live}),"  # noqa: S608 - quoted names
            f" (SELECT COUNT(*) FROM {b} b WHERE NOT EXISTS (SELECT 1 FROM {live} l WHERE {same})),"
            f" (SELECT COUNT(*) FROM {b} b JOIN {live} l ON {same} WHERE {self._held.differs()}),"
            f" (SELECT COUNT(*) FROM {live} l WHERE NOT EXISTS (SELECT 1 FROM {b} b WHERE {same}))",
        )
        return RowCounts(backup=backup, live=there, missing=missing, changed=changed, new=new)

    def write_rows(self, file: BinaryIO) -> None:
        """Read from the server as it sends them."""
        file.write(_line(["difference", "of", *self.columns]))
        with SSCursor(self._opened.connection) as cursor:
            cursor.execute(self._differing())
            while found := cursor.fetchmany(_AT_ONCE):
                file.write(b"".join(_line(row) for row in found))

    def _differing(self) -> str:
        held = self._held
        b, live, same, differs = held.kept.rows, held.live.rows, held.same(self.key), held.differs()
        backup, now = held.shown("b"), held.shown("l")
        sorted_by = ", ".join(str(3 + self.columns.index(column)) for column in self.key)
        return (
            f"SELECT 'missing', 'backup', {backup} FROM {b} b"  # noqa: S608 - quoted names
            f" WHERE NOT EXISTS (SELECT 1 FROM {live} l WHERE {same})"
            f" UNION ALL SELECT 'changed', 'backup', {backup} FROM {b} b JOIN {live} l ON {same} WHERE {differs}"
            f" UNION ALL SELECT 'changed', 'live', {now} FROM {b} b JOIN {live} l ON {same} WHERE {differs}"
            f" UNION ALL SELECT 'new', 'live', {now} FROM {live} l"
            f" WHERE NOT EXISTS (SELECT 1 FROM {b} b WHERE {same}) ORDER BY {sorted_by}, 2"
        )

    def put_back(self, fire_triggers: bool = False, dry_run: bool = False) -> list[PutBack]:
        """One transaction."""
        return put_back(self._opened, self._held, self.key, fire_triggers, dry_run)


def _line(values: Sequence[str | int | None]) -> bytes:
    """NULL is empty, all else in quotes."""
    cells = ("" if value is None else '"' + str(value).replace('"', '""') + '"' for value in values)
    return ",".join(cells).encode("utf-8", "surrogateescape") + b"\n"


def _key(live: SchemaTable, asked: Sequence[str]) -> tuple[str, ...]:
    if not (chosen := tuple(asked) or live.key):
        raise ConfigurationError(
            f"{live.name} has no primary key, so that nothing says which rows are the same one",
            "Name columns whose values together are there once: --key a,b.",
        )
    if unknown := [column for column in chosen if column not in live.columns]:
        raise ConfigurationError(
            f"{live.name} has no column {', '.join(unknown)}", f"There are: {', '.join(live.columns)}."
        )
    return chosen


def _require_key(opened: Holding, held: Held, key: Sequence[str]) -> None:
    """Each row of both has one of its own."""
    for table, which in ((held.live, "live rows"), (held.kept, "the backup's rows")):
        if set(key) != set(table.key):
            _require_unique(opened.connection, table, key, f"{which} of {table.name}")


def _require_unique(
    connection: "Connection[pymysql.cursors.Cursor]", table: SchemaTable, key: Sequence[str], which: str
) -> None:
    names = ", ".join(map(quote_ident, key))
    nulls = " OR ".join(f"{quote_ident(column)} IS NULL" for column in key)
    ((empty, twice),) = rows(
        connection,
        f"SELECT (SELECT COUNT(*) FROM {table.rows} WHERE {nulls}), (SELECT COUNT(*) FROM"  # noqa: S608 - quoted names
        f" (SELECT 1 FROM {table.rows} GROUP BY {names} HAVING COUNT(*) > 1) d)",
    )
    listed = ", ".join(key)
    if empty:
        raise ConfigurationError(
            f"{listed} is NULL in {empty} of {which}, and so no key", "Name columns that are never NULL: --key a,b."
        )
    if twice:
        raise ConfigurationError(
            f"{listed} is no key: {twice} of its values are in several of {which}",
            "Name columns whose values together are there once: --key a,b.",
        )
