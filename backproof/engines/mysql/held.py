"""Rows of a backup in a schema of their own on the live server, which can hold the two against each other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines import Source
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.database import create, drop
from backproof.engines.mysql.full_disk import awaiting_room
from backproof.engines.mysql.live_tables import SchemaTable, schema_table
from backproof.engines.mysql.names import quote_ident, spell, unspell
from backproof.engines.mysql.restore import restore
from backproof.engines.mysql.select import resolve
from backproof.engines.mysql.unfinished import unfinished
from backproof.records import Target

_SESSION = (
    # A row that the live columns do not take is an error, and none that is cut.
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,STRICT_ALL_TABLES', time_zone = '+00:00'",
    "SET SESSION lock_wait_timeout = 60, innodb_lock_wait_timeout = 60",
    "SET SESSION wait_timeout = 86400, net_read_timeout = 600, net_write_timeout = 600",
    "/*M!100101 SET SESSION max_statement_time = 0 */",
    # Where no key helps, a table is read once for each of these buffers, and not for each row.
    "/*M!100101 SET SESSION join_cache_level = 8, join_buffer_size = 67108864 */",
)


@dataclass(frozen=True)
class Held:
    """One table's rows of the backup, beside the live ones."""

    live: SchemaTable
    kept: SchemaTable
    columns: tuple[str, ...]
    """Columns that both have, and that are no function of others."""

    def named(self, alias: str) -> str:
        """The columns, of one of the two."""
        return ", ".join(f"{alias}.{quote_ident(column)}" for column in self.columns)

    def shown(self, alias: str) -> str:
        """The same, as they are written down."""
        columns = (self.live if alias == "l" else self.kept).columns
        return ", ".join(columns[column].shown(f"{alias}.{quote_ident(column)}") for column in self.columns)

    def same(self, columns: Sequence[str], one: str = "b", other: str = "l") -> str:
        """Whether two rows have the same values there, as the live columns compare."""
        pairs = ((column, column) for column in columns)
        return " AND ".join(equal(self.kept, self.live, own, theirs, one, other) for own, theirs in pairs)

    def differs(self) -> str:
        """Whether ``b`` and ``l`` have other values anywhere."""
        pairs = (
            (self.kept.columns[column].exactly(f"b.{name}"), self.live.columns[column].exactly(f"l.{name}"))
            for column in self.columns
            for name in [quote_ident(column)]
        )
        return "NOT (" + " AND ".join(f"{backup} <=> {live}" for backup, live in pairs) + ")"


def equal(kept: SchemaTable, live: SchemaTable, own: str, theirs: str, one: str, other: str) -> str:
    """A comparison of two columns, in the live one's way."""
    mine, its = kept.columns[own], live.columns[theirs]
    value = f"{one}.{quote_ident(own)}"
    if its.collation is not None and mine.collation not in (None, its.collation):
        value = f"CONVERT({value} USING {its.charset}) COLLATE {its.collation}"
    return f"{value} = {other}.{quote_ident(theirs)}"


class Holding:
    """Tables of one archive, restored one after the other when they are asked for."""

    def __init__(
        self,
        connection: "Connection[pymysql.cursors.Cursor]",
        source: Source,
        live: Target,
        room: Target,
        jobs: int,
    ) -> None:
        self.connection = connection
        self.live = live
        self.room = room
        self._source = source
        self._jobs = jobs
        self._restored: set[str] = set()

    def resolve(self, wanted: str) -> str:
        """The table that a person's name means."""
        (name,) = resolve(self._source.manifest, [wanted])
        return unspell(name)

    def has(self, name: str) -> bool:
        """Whether the archive has that table."""
        return any(table.name == spell(name) for table in self._source.manifest.tables)

    def hold(self, name: str) -> Held:
        """Restore a table. Its triggers come along, and nothing is written there that would fire them."""
        live = schema_table(self.connection, self.live.database, name)
        if name not in self._restored:
            with unfinished(self.room, self._source.manifest):
                restore(self._source, self.room, self._jobs, [spell(name)], accept_mentions=True)
            self._restored.add(name)
        kept = schema_table(self.connection, self.room.database, name)
        both = [column for column in kept.columns if column in live.columns]
        columns = tuple(each for each in both if not (kept.columns[each].computed or live.columns[each].computed))
        return Held(live, kept, columns)


@contextmanager
def holding(source: Source, live: Target, room: Target, jobs: int) -> Iterator[Holding]:
    """The schema is there as long as the context lasts."""
    drop(room)
    create(room, source.manifest)
    try:
        with awaiting_room(live), connected(live) as connection:
            for setting in _SESSION:
                rows(connection, setting)
            yield Holding(connection, source, live, room, jobs)
    finally:
        drop(room)
