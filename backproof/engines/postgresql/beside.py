"""The rows of one table of a backup beside the live ones: counted, written down, put back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from backproof.engines import Source
from backproof.engines.postgresql.connect import connected, quote_ident, without_timeouts
from backproof.engines.postgresql.held import Held, Holding
from backproof.engines.postgresql.live_tables import LiveTable, live_table
from backproof.engines.postgresql.putting_back import put_back
from backproof.errors import ConfigurationError
from backproof.records import PutBack, RowCounts, Target


@contextmanager
def beside(source: Source, target: Target, table: str, key: Sequence[str]) -> Iterator["PostgresBeside"]:
    """The contract is ``Engine.beside``."""
    with connected(target, application_name="backproof tables") as connection:
        without_timeouts(connection)
        holding = Holding(connection, source)
        with connection.cursor() as cursor:
            live = live_table(cursor, holding.resolve(table))
            chosen = _key(live, key)
            held = holding.hold(live)
            if lacking := [column for column in chosen if column not in held.columns]:
                raise ConfigurationError(
                    f"{', '.join(lacking)} of {live.name} is in the live table alone, or a function of others",
                    "Name other columns: --key a,b.",
                )
            _require_key(cursor, held, chosen)
        yield PostgresBeside(connection, holding, held, chosen)


class PostgresBeside:
    """The contract is ``backproof.engines.Beside``."""

    def __init__(self, connection: Connection, holding: Holding, held: Held, key: tuple[str, ...]) -> None:
        self._connection = connection
        self._holding = holding
        self._held = held
        self.table = held.live.name
        self.key = key
        self.columns = held.columns

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that only one of the two has, or that are computed."""
        live = self._held.live.columns
        computed = [column for column, each in live.items() if each.computed]
        only_live = [column for column in live if column not in self.columns and column not in computed]
        return (
            *(f"column {column} is not compared: only the backup has it" for column in self._held.only_backup),
            *(f"column {column} is not compared: only the live table has it" for column in only_live),
            *(f"column {column} is not compared: it is a function of others" for column in computed),
        )

    def counts(self) -> RowCounts:
        """One statement, and so one moment."""
        b, live, same = self._held.temporary, self._held.live.rows, self._held.same(self.key)
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"SELECT (SELECT count(*) FROM {b}), (SELECT count(*) FROM {live}),"  # noqa: S608 - quoted names
                f" (SELECT count(*) FROM {b} b WHERE NOT EXISTS (SELECT FROM {live} l WHERE {same})),"
                f" (SELECT count(*) FROM {b} b JOIN {live} l ON {same} WHERE {self._differs()}),"
                f" (SELECT count(*) FROM {live} l WHERE NOT EXISTS (SELECT FROM {b} b WHERE {same}))"
            )
            ((backup, there, missing, changed, new),) = cursor.fetchall()
        return RowCounts(backup=backup, live=there, missing=missing, changed=changed, new=new)

    def write_rows(self, file: BinaryIO) -> None:
        """By the server's own CSV."""
        b, live, same = self._held.temporary, self._held.live.rows, self._held.same(self.key)
        backup, now = self._held.values("b"), self._held.values("l")
        both = f"{b} b JOIN {live} l ON {same} WHERE {self._differs()}"
        # By their places: a column may be called as one of the first two.
        order = ", ".join(str(3 + self.columns.index(column)) for column in self.key)
        sql = (
            "SELECT d.* FROM ("  # noqa: S608 - quoted names
            f"SELECT 'missing' AS difference, 'backup' AS of, {backup} FROM {b} b"
            f" WHERE NOT EXISTS (SELECT FROM {live} l WHERE {same})"
            f" UNION ALL SELECT 'changed', 'backup', {backup} FROM {both}"
            f" UNION ALL SELECT 'changed', 'live', {now} FROM {both}"
            f" UNION ALL SELECT 'new', 'live', {now} FROM {live} l"
            f" WHERE NOT EXISTS (SELECT FROM {b} b WHERE {same})"
            f") d ORDER BY {order}, 2"
        )
        with self._connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({sql}) TO STDOUT WITH (FORMAT csv, HEADER true, FORCE_QUOTE *)", file)

    def put_back(self, fire_triggers: bool = False, dry_run: bool = False) -> list[PutBack]:
        """One statement of one transaction."""
        return put_back(self._connection, self._holding, self._held, self.key, fire_triggers, dry_run)

    def _differs(self) -> str:
        """As text: some types can't be compared, and 1.0 is not 1.00."""
        return f"ROW({self._held.values('b')})::text IS DISTINCT FROM ROW({self._held.values('l')})::text"


def _key(live: LiveTable, asked: Sequence[str]) -> tuple[str, ...]:
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


def _require_key(cursor: Cursor, held: Held, key: Sequence[str]) -> None:
    """Each row of both has one of its own."""
    if tuple(key) != held.live.key:
        _require_unique(cursor, held.live.rows, key, f"live rows of {held.live.name}")
    _require_unique(cursor, held.temporary, key, f"the backup's rows of {held.live.name}")
    names = ", ".join(map(quote_ident, key))
    with suppress(psycopg2.errors.UndefinedObject):  # of a type that has no order: then it is a matter of patience
        cursor.execute(f"CREATE INDEX ON {held.temporary} ({names})")
        cursor.execute(f"ANALYZE {held.temporary}")


def _require_unique(cursor: Cursor, rows: str, key: Sequence[str], which: str) -> None:
    names = ", ".join(map(quote_ident, key))
    nulls = " OR ".join(f"{quote_ident(column)} IS NULL" for column in key)
    try:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM {rows} WHERE {nulls}),"  # noqa: S608 - quoted names
            f" (SELECT count(*) FROM (SELECT FROM {rows} GROUP BY {names} HAVING count(*) > 1) d)"
        )
    except psycopg2.errors.UndefinedFunction:
        raise ConfigurationError(
            f"the server can't compare values of {', '.join(key)}", "Name other columns: --key a,b."
        ) from None
    ((empty, twice),) = cursor.fetchall()
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
