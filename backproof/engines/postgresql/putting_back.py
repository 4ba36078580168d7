"""Missing rows put back, with the rows that their foreign keys need: one statement, in one transaction.

Foreign keys are looked at when a statement ends: rows that need each other come in by one, whatever their order.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import quote_ident, translate
from backproof.engines.postgresql.held import Held, Holding
from backproof.engines.postgresql.live_tables import Link, live_table
from backproof.engines.postgresql.triggers import silent
from backproof.errors import Obstructed, RestoreFailed
from backproof.records import PutBack


@dataclass
class _Wanted:
    """Rows of one table that are to be put back, told by where they lie among those held."""

    held: Held
    chosen: str
    """The temporary table that names them."""

    @property
    def rows(self) -> str:
        """Behind FROM, as ``b``."""
        return f"{self.held.temporary} b JOIN {self.chosen} w ON w.place = b.ctid"


@dataclass
class _Search:
    """From missing rows to the rows that they need, and on."""

    cursor: Cursor
    holding: Holding
    wanted: dict[str, _Wanted] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    def begin(self, held: Held, key: Sequence[str]) -> None:
        self.held[held.live.name] = held
        first = self._want(held)
        self.cursor.execute(
            f"INSERT INTO {first.chosen} SELECT b.ctid FROM {held.temporary} b"  # noqa: S608 - quoted names
            f" WHERE NOT EXISTS (SELECT FROM {held.live.rows} l WHERE {held.same(key)})"
        )
        waiting = deque([held.live.name])
        while waiting:
            child = self.wanted[waiting.popleft()]
            for link in self._links(child.held):
                if self._follow(child, link) and link.parent not in waiting:
                    waiting.append(link.parent)

    def _want(self, held: Held) -> _Wanted:
        number = len(self.wanted)
        self.cursor.execute(f"CREATE TEMPORARY TABLE backproof_w{number} (place tid PRIMARY KEY) ON COMMIT DROP")
        self.wanted[held.live.name] = _Wanted(held, f"pg_temp.backproof_w{number}")
        return self.wanted[held.live.name]

    def _links(self, held: Held) -> list[Link]:
        """A column that the backup has not gets its default, and that is the server's to look at."""
        return [link for link in held.live.links if set(link.columns) <= set(held.columns)]

    def _follow(self, child: _Wanted, link: Link) -> bool:
        """Want the parents of rows that are wanted; whether there are new ones."""
        lost = self._without(child, link)
        if not lost:
            return False
        parent = self._parent(link, child, lost)
        wanted = self.wanted.get(link.parent) or self._want(parent)
        pairs = list(zip(link.columns, link.parent_columns, strict=True))
        needed = " AND ".join(f"b.{quote_ident(own)} = p.{quote_ident(theirs)}" for own, theirs in pairs)
        self.cursor.execute(
            f"INSERT INTO {wanted.chosen} SELECT p.ctid FROM {parent.temporary} p"  # noqa: S608 - quoted names
            f" WHERE EXISTS (SELECT FROM {child.rows} WHERE {needed})"
            f" AND NOT EXISTS (SELECT FROM {parent.live.rows} l WHERE {parent.same(link.parent_columns, 'p')})"
            " ON CONFLICT DO NOTHING"
        )
        more = self.cursor.rowcount > 0
        if left := self._without(child, link, wanted):
            raise self._unresolved(child, link, left)
        return more

    def _without(self, child: _Wanted, link: Link, wanted: _Wanted | None = None) -> int:
        """How many rows that are wanted point at a row that is neither live nor wanted."""
        rows = live_table(self.cursor, link.parent).rows
        pairs = list(zip(link.columns, link.parent_columns, strict=True))
        there = " AND ".join(f"b.{quote_ident(own)} = l.{quote_ident(theirs)}" for own, theirs in pairs)
        points = " AND ".join(f"b.{quote_ident(own)} IS NOT NULL" for own in link.columns)
        sql = (
            f"SELECT count(*) FROM {child.rows} WHERE {points}"  # noqa: S608 - quoted names
            f" AND NOT EXISTS (SELECT FROM {rows} l WHERE {there})"
        )
        if wanted is not None:
            sql += (
                f" AND NOT EXISTS (SELECT FROM {wanted.held.temporary} l JOIN {wanted.chosen} v ON v.place = l.ctid"
                f" WHERE {there})"
            )
        self.cursor.execute(sql)
        ((count,),) = self.cursor.fetchall()
        return int(count)

    def _parent(self, link: Link, child: _Wanted, lost: int) -> Held:
        if link.parent not in self.held:
            if not self.holding.has(link.parent):
                raise self._unresolved(child, link, lost)
            live = live_table(self.cursor, link.parent)
            self.held[link.parent] = self.holding.hold(live)
        if not set(link.parent_columns) <= set(self.held[link.parent].columns):
            raise self._unresolved(child, link, lost)
        return self.held[link.parent]

    def _unresolved(self, child: _Wanted, link: Link, count: int) -> Obstructed:
        return Obstructed(
            f"{count} missing rows of {child.held.live.name} need rows of {link.parent} (foreign key {link.name}) that"
            " neither the live table nor the backup holds",
            "Put the rows of that table back first, or drop the foreign key; nothing was changed.",
        )


def put_back(
    connection: Connection, holding: Holding, held: Held, key: Sequence[str], fire_triggers: bool, dry_run: bool
) -> list[PutBack]:
    """The contract is ``Beside.put_back``."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            search = _Search(cursor, holding)
            search.begin(held, key)
            tables = list(search.wanted.values())
            with silent(cursor, () if fire_triggers else [each.held.live.name for each in tables]):
                planned, inserted = _planned(cursor, tables), _inserted(cursor, tables)
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for each in tables:
                _advance(cursor, each, dry_run)
            cursor.execute("ROLLBACK" if dry_run else "COMMIT")
    except psycopg2.Error as error:
        found = translate(error, RestoreFailed)
        raise type(found)(
            f"the rows could not be put back, and nothing was changed: {found.fact}",
            found.remedy or "Look what of the live tables has changed since the backup.",
        ) from None
    finally:
        with suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("ROLLBACK")  # does nothing where it has ended
    return [
        PutBack(table=each.held.live.name, inserted=done, left_out=wanted - done)
        for each, wanted, done in zip(tables, planned, inserted, strict=True)
    ]


def _planned(cursor: Cursor, tables: Sequence[_Wanted]) -> list[int]:
    cursor.execute(f"SELECT {_counts(each.chosen for each in tables)}")
    return [int(count) for count in cursor.fetchall()[0]]


def _counts(names: Iterable[str]) -> str:
    return ", ".join(f"(SELECT count(*) FROM {name})" for name in names)  # noqa: S608 - names of ours


def _inserted(cursor: Cursor, tables: Sequence[_Wanted]) -> list[int]:
    parts = []
    for number, each in enumerate(tables):
        columns = ", ".join(map(quote_ident, each.held.columns))
        # Whoever has the same value where it may be there but once stays; what is looked at late can't be asked so.
        conflict = "" if each.held.live.has_deferred_keys else " ON CONFLICT DO NOTHING"
        parts.append(
            f"i{number} AS (INSERT INTO {each.held.live.name} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608
            f" SELECT {each.held.values('b')} FROM {each.rows}{conflict} RETURNING 1)"
        )
    cursor.execute(f"WITH {', '.join(parts)} SELECT {_counts(f'i{number}' for number in range(len(tables)))}")
    return [int(count) for count in cursor.fetchall()[0]]


def _advance(cursor: Cursor, wanted: _Wanted, dry_run: bool) -> None:
    """A sequence is never behind what was inserted: what it gives next is not there yet. No transaction undoes it."""
    for column, each in wanted.held.live.columns.items():
        if each.sequence is None or column not in wanted.held.columns or dry_run:
            continue
        cursor.execute(
            f"SELECT pg_catalog.setval(%s, m.highest) FROM (SELECT max(b.{quote_ident(column)}) AS highest"  # noqa: S608
            f" FROM {wanted.rows}) m, {each.sequence} s, pg_catalog.pg_sequence q"
            " WHERE q.seqrelid = %s::pg_catalog.regclass AND q.seqincrement > 0"
            " AND (m.highest > s.last_value OR (m.highest = s.last_value AND NOT s.is_called))",
            [each.sequence, each.sequence],
        )
