"""Missing rows put back, with the rows that their foreign keys need, in one transaction.

Rows that others need come first. Where tables, or the rows of one, need each other in a circle, foreign keys are not
looked at row by row but all together before the transaction ends, with what they point at locked till then.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

import pymysql

from backproof.engines.mysql.connect import rows, translate
from backproof.engines.mysql.held import Held, Holding, equal
from backproof.engines.mysql.live_tables import Link, SchemaTable, schema_table
from backproof.engines.mysql.names import quote_ident
from backproof.errors import Obstructed, RestoreFailed
from backproof.records import PutBack

_TRANSACTIONAL = frozenset({"innodb"})


@dataclass(frozen=True)
class _Wanted:
    """Copies of the rows of one table that are to be put back."""

    held: Held
    rows: str
    """Behind FROM."""


@dataclass
class _Search:
    """From missing rows to the rows that they need, and on."""

    opened: Holding
    wanted: dict[str, _Wanted] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    def begin(self, held: Held, key: Sequence[str]) -> None:
        self.held[held.live.bare] = held
        first = self._want(held)
        self._take(
            first,
            f"NOT EXISTS (SELECT 1 FROM {held.live.rows} l WHERE {held.same(key)})",  # noqa: S608 - quoted names
        )
        waiting = deque([held.live.bare])
        while waiting:
            child = self.wanted[waiting.popleft()]
            for link in links(child.held):
                if self._follow(child, link) and link.parent not in waiting:
                    waiting.append(link.parent)

    def _want(self, held: Held) -> _Wanted:
        name = f"{quote_ident(self.opened.room.database)}.{quote_ident(f'backproof wanted {len(self.wanted)}')}"
        rows(self.opened.connection, f"DROP TABLE IF EXISTS {name}")
        rows(self.opened.connection, f"CREATE TABLE {name} LIKE {held.kept.rows}")
        self.wanted[held.live.bare] = _Wanted(held, name)
        return self.wanted[held.live.bare]

    def _take(self, wanted: _Wanted, which: str) -> int:
        columns = ", ".join(map(quote_ident, wanted.held.columns))
        with self.opened.connection.cursor() as cursor:
            return int(
                cursor.execute(
                    f"INSERT INTO {wanted.rows} ({columns}) SELECT {wanted.held.named('b')}"  # noqa: S608
                    f" FROM {wanted.held.kept.rows} b WHERE {which}"
                )
            )

    def _follow(self, child: _Wanted, link: Link) -> bool:
        """Want the parents of rows that are wanted; whether there are new ones."""
        parent_live = schema_table(self.opened.connection, link.parent_schema, link.parent)
        lost = lacking(self.opened, child, link, parent_live, None)
        if not lost:
            return False
        own = link.parent_schema == self.opened.live.database
        if not own or not self.opened.has(link.parent):
            raise self._unresolved(child, link, lost)
        if link.parent not in self.held:
            self.held[link.parent] = self.opened.hold(link.parent)
        parent = self.held[link.parent]
        if not set(link.parent_columns) <= set(parent.columns):
            raise self._unresolved(child, link, lost)
        wanted = self.wanted.get(link.parent) or self._want(parent)
        pairs = list(zip(link.columns, link.parent_columns, strict=True))
        needed = " AND ".join(equal(child.held.kept, parent.kept, one, other, "w", "b") for one, other in pairs)
        already = " AND ".join(f"v.{quote_ident(each)} = b.{quote_ident(each)}" for each in link.parent_columns)
        more = self._take(
            wanted,
            f"EXISTS (SELECT 1 FROM {child.rows} w WHERE {needed})"  # noqa: S608 - quoted names
            f" AND NOT EXISTS (SELECT 1 FROM {parent.live.rows} l WHERE {parent.same(link.parent_columns)})"
            f" AND NOT EXISTS (SELECT 1 FROM {wanted.rows} v WHERE {already})",
        )
        if left := lacking(self.opened, child, link, parent_live, wanted):
            raise self._unresolved(child, link, left)
        return more > 0

    def _unresolved(self, child: _Wanted, link: Link, count: int) -> Obstructed:
        return Obstructed(
            f"{count} missing rows of {child.held.live.name} need rows of {link.parent} (foreign key {link.name}) that"
            " neither the live table nor the backup holds",
            "Put the rows of that table back first, or drop the foreign key; nothing was changed.",
        )


def links(held: Held) -> list[Link]:
    """A column that the backup has not gets its default, and that is the server's to look at."""
    return [link for link in held.live.links if set(link.columns) <= set(held.columns)]


def lacking(
    opened: Holding, child: _Wanted, link: Link, parent: SchemaTable, wanted: _Wanted | None, lock: bool = False
) -> int:
    """How many rows that are wanted point at a row that is neither live nor wanted.

    Args:
        lock: what they point at stays there as long as the transaction lasts.
    """
    pairs = list(zip(link.columns, link.parent_columns, strict=True))
    points = " AND ".join(f"w.{quote_ident(own)} IS NOT NULL" for own in link.columns)
    there = " AND ".join(equal(child.held.kept, parent, own, theirs, "w", "l") for own, theirs in pairs)
    sql = (
        f"SELECT COUNT(*) FROM {child.rows} w WHERE {points}"  # noqa: S608 - quoted names
        f" AND NOT EXISTS (SELECT 1 FROM {parent.rows} l WHERE {there})"
    )
    if wanted is not None:
        among = " AND ".join(equal(child.held.kept, wanted.held.kept, own, theirs, "w", "l") for own, theirs in pairs)
        sql += f" AND NOT EXISTS (SELECT 1 FROM {wanted.rows} l WHERE {among})"  # noqa: S608 - quoted names
    ((count,),) = rows(opened.connection, sql + (" LOCK IN SHARE MODE" if lock else ""))
    return int(count)


def put_back(opened: Holding, held: Held, key: Sequence[str], fire_triggers: bool, dry_run: bool) -> list[PutBack]:
    """The contract is ``Beside.put_back``."""
    connection = opened.connection
    try:
        search = _Search(opened)
        search.begin(held, key)
        tables = search.wanted
        _require_silent(tables.values() if not fire_triggers else ())  # type: ignore[arg-type]
        order, circular = _order(tables)
        connection.query(f"SET SESSION foreign_key_checks = {0 if circular else 1}")
        connection.query("START TRANSACTION")
        done = {name: _insert(opened, tables[name]) for name in order}
        if circular:
            _require_parents(opened, tables)
        connection.query("ROLLBACK" if dry_run else "COMMIT")
    except pymysql.Error as error:
        found = translate(error, RestoreFailed)
        raise type(found)(
            f"the rows could not be put back, and nothing was changed: {found.fact}",
            found.remedy or "Look what of the live tables has changed since the backup.",
        ) from None
    finally:
        with suppress(pymysql.Error):
            connection.query("ROLLBACK")
            connection.query("SET SESSION foreign_key_checks = 1")
    return [
        PutBack(table=tables[name].held.live.name, inserted=done[name][1], left_out=done[name][0] - done[name][1])
        for name in tables
    ]


def _require_silent(tables: Sequence[_Wanted]) -> None:
    """A trigger of this server can't be kept silent for one transaction."""
    for each in tables:
        live = each.held.live
        if live.triggers:
            raise Obstructed(
                f"inserting into {live.name} fires {', '.join(live.triggers)}, and no transaction can keep that silent",
                "Say --fire-triggers where that may be. Nothing was changed.",
            )


def _order(tables: dict[str, _Wanted]) -> tuple[list[str], bool]:
    """Parents first, and whether there is no such order."""
    needs = {name: {link.parent for link in links(each.held)} & tables.keys() for name, each in tables.items()}
    if any(name in parents for name, parents in needs.items()):
        return list(tables), True
    try:
        return list(TopologicalSorter(needs).static_order()), False
    except CycleError:
        return list(tables), True


def _insert(opened: Holding, wanted: _Wanted) -> tuple[int, int]:
    """How many rows are wanted, and how many came in; a row that a live one keeps out stays out."""
    held = wanted.held
    if held.live.engine.lower() not in _TRANSACTIONAL:
        raise Obstructed(
            f"{held.live.name} is of the engine {held.live.engine}, which knows no transactions",
            "Restore the table into a new database, and copy the rows by hand. Nothing was changed.",
        )
    free = [
        f"NOT EXISTS (SELECT 1 FROM {held.live.rows} l WHERE {_equals(held, columns)})"  # noqa: S608 - quoted names
        for columns in held.live.unique.values()
        if {column for column, _ in columns} <= set(held.columns)
    ]
    names = ", ".join(map(quote_ident, held.columns))
    with opened.connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {wanted.rows}")  # noqa: S608 - a quoted name
        ((count,),) = cursor.fetchall()
        came = cursor.execute(
            f"INSERT INTO {held.live.rows} ({names}) SELECT {held.named('w')} FROM {wanted.rows} w"  # noqa: S608
            f" WHERE {' AND '.join(free) or 'TRUE'}"
        )
    return int(count), int(came)


def _equals(held: Held, columns: Sequence[tuple[str, int | None]]) -> str:
    return " AND ".join(
        equal(held.kept, held.live, column, column, "w", "l")
        if length is None
        else f"LEFT(w.{quote_ident(column)}, {length}) = LEFT(l.{quote_ident(column)}, {length})"
        for column, length in columns
    )


def _require_parents(opened: Holding, tables: dict[str, _Wanted]) -> None:
    for each in tables.values():
        for link in links(each.held):
            parent = schema_table(opened.connection, link.parent_schema, link.parent)
            if count := lacking(opened, each, link, parent, None, lock=True):
                raise Obstructed(
                    f"{count} rows of {each.held.live.name} would point at no row of {link.parent}"
                    f" (foreign key {link.name})",
                    "Look what keeps those rows out; nothing was changed.",
                )
