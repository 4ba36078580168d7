"""Rows of a backup in temporary tables of one session on the live database, which ends with them.

They are read by the types that the live columns have, so that the server itself compares and inserts them.
"""

import io
import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection

from backproof.engines import Source
from backproof.engines.postgresql.connect import quote_ident, translate
from backproof.engines.postgresql.live_tables import LiveTable
from backproof.engines.postgresql.load import copy_statement, end_of_rows
from backproof.engines.postgresql.script import Script, partition_parents, usable
from backproof.engines.postgresql.select import resolve
from backproof.engines.postgresql.text import LARGE_OBJECTS
from backproof.errors import Damaged, RestoreFailed

_SESSION = """
    SET search_path = ''; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
    SET bytea_output = 'hex'; SET extra_float_digits = 3; SET row_security = off; SET lock_timeout = '60s';
"""
_REMEDY = "Restore the table into a new database (`backproof restore --tables`), and compare there."


@dataclass(frozen=True)
class Held:
    """One table's rows of the backup, beside the live ones."""

    live: LiveTable
    temporary: str
    """Where they are."""
    columns: tuple[str, ...]
    """The backup's columns that the live table has too, and that are no function of others."""
    only_backup: tuple[str, ...]

    def values(self, alias: str) -> str:
        """The columns, of one of the two."""
        return ", ".join(f"{alias}.{quote_ident(column)}" for column in self.columns)

    def same(self, columns: Sequence[str], one: str = "b", other: str = "l") -> str:
        """Whether two rows have the same values there."""
        return " AND ".join(f"{one}.{quote_ident(column)} = {other}.{quote_ident(column)}" for column in columns)


class Holding:
    """Tables of one archive, held one after the other when they are asked for.

    Args:
        connection: in autocommit mode; its session is ours.
        source: the archive.
    """

    def __init__(self, connection: Connection, source: Source) -> None:
        self.connection = connection
        self._source = source
        self._numbers = itertools.count()
        self._script = Script.read(source)
        self._parents = partition_parents(self._script.schema)
        self._known = [table.name for table in source.manifest.tables if not table.name.startswith(LARGE_OBJECTS)]
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            cursor.execute("SELECT name FROM pg_catalog.pg_settings")
            known = frozenset(name for (name,) in cursor.fetchall())
            self._encoding = usable(known)([self._script.settings.get("client_encoding", b"SELECT")])
            parameters = source.manifest.database.server.get("parameters")
            if isinstance(parameters, dict) and isinstance(way := parameters.get("lc_monetary"), str):
                with suppress(psycopg2.errors.InvalidParameterValue):
                    cursor.execute("SELECT pg_catalog.set_config('lc_monetary', %s, false)", [way])

    def resolve(self, wanted: str) -> str:
        """The archive's name for what a person calls a table, or a partitioned one."""
        (name,) = resolve([*self._known, *self._parents.values()], [wanted])
        return name

    def has(self, table: str) -> bool:
        """Whether the archive has a table of that name."""
        return table in self._known or table in self._parents.values()

    def hold(self, live: LiveTable) -> Held:
        """Load a table's rows.

        Raises:
            RestoreFailed: the live columns do not take them.
            Damaged: the archive does not hold what its manifest says.
        """
        stored = self._parts(live.name)
        tables = [table for table in self._source.manifest.tables if table.name in stored]
        backup = tuple(dict.fromkeys(column for table in tables for column in table.columns)) or tuple(live.columns)
        number = next(self._numbers)
        temporary = f"pg_temp.backproof_{number}"
        typed = [
            f"l.{quote_ident(column)}" if column in live.columns else f"NULL::text AS {quote_ident(column)}"
            for column in backup
        ]
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TEMPORARY TABLE backproof_{number} AS SELECT {', '.join(typed)} FROM {live.name} l"  # noqa: S608
                " WITH NO DATA"
            )
            self._load(stored, temporary)
            cursor.execute(f"ANALYZE {temporary}")
        both = tuple(column for column in backup if column in live.columns and not live.columns[column].computed)
        return Held(live, temporary, both, tuple(column for column in backup if column not in live.columns))

    def _parts(self, name: str) -> frozenset[str]:
        found = {name}
        while more := {child for child, parent in self._parents.items() if parent in found} - found:
            found |= more
        return frozenset(found)

    def _load(self, tables: frozenset[str], temporary: str) -> None:
        members = [each for each in self._source.manifest.members if each.section == "data" and each.table in tables]
        with self.connection.cursor() as cursor:
            for statement in self._encoding:
                cursor.execute(statement)
            for member in members:
                plain = self._source.read(member)
                copy = copy_statement(member, plain)
                if copy is None:
                    raise Damaged(f"a member that should hold rows of {member.table} holds others", "Use another copy.")
                begin = copy.end() + 1
                rows = io.BytesIO(memoryview(plain)[begin : end_of_rows(plain, begin, member)])
                into = b"COPY " + temporary.encode() + plain[copy.end(1) : copy.end()]
                try:
                    cursor.copy_expert(into, rows, 1024 * 1024)
                except psycopg2.Error as error:
                    found = translate(error, RestoreFailed)
                    raise type(found)(
                        f"the live columns of {member.table} do not take the backup's rows: {found.fact}",
                        found.remedy or _REMEDY,
                    ) from None
                if cursor.rowcount != member.rows:
                    raise Damaged(
                        f"a member of {member.table} brought {cursor.rowcount} rows where the manifest says"
                        f" {member.rows}",
                        "Use another copy of this backup.",
                    )
            cursor.execute("SET client_encoding = 'UTF8'")
