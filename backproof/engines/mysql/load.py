"""The data section, member by member, over several connections: by LOAD DATA where that is the same, else as it stands.

A member is one transaction: a commit costs a write to the server's disk. Where a deadlock undoes one, it is tried
again. What a server makes of rows in a LOAD DATA must be exactly those rows, without a warning; else it is undone, and
the INSERT statements, which are the dump tool's own, say what is right.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines import Progress, Source
from backproof.engines.mysql import bulk
from backproof.engines.mysql.bulk import Bulk
from backproof.engines.mysql.connect import number
from backproof.engines.mysql.definition import Definition
from backproof.engines.mysql.guard import inserts
from backproof.engines.mysql.names import decode, spell, unspell
from backproof.engines.mysql.sessions import Sessions, execute, refusal
from backproof.engines.mysql.shapes import NAME
from backproof.engines.mysql.writing import SET_BACK, SET_BYTES, opened
from backproof.errors import Damaged, RestoreFailed
from backproof.parallel import lanes as parallel
from backproof.parallel.lanes import Lane, Turn
from backproof.records import Member

_UNDONE = (1213, 1205)
"""A deadlock, a lock that could not be had: the transaction is gone, and may go through another time."""

_TRIES = 5
_REMEDY = "Restore from another copy of this backup."
_NAMES = re.compile(NAME)


@dataclass(frozen=True)
class Filling:
    """How one table is filled."""

    bulk: Bulk | None
    """None: by INSERT."""
    by_key: bool
    """Whether a primary key, and not the order in which they come, says where rows lie."""
    counts: bool
    """Whether it has AUTO_INCREMENT: a LOAD DATA then keeps every other writer out till it has ended."""

    @classmethod
    def of(cls, definition: Definition) -> "Filling":
        counts = any(b"AUTO_INCREMENT" in column.words for column in definition.of("column"))
        by_key = definition.engine == "innodb" and bool(definition.of("primary"))
        return cls(Bulk.of(definition), by_key, counts)

    def by_insert(self) -> "Filling":
        return Filling(None, self.by_key, self.counts)


@dataclass(frozen=True)
class Taking:
    """What a server takes."""

    local_rows: bool
    """Rows of a LOAD DATA from a client."""
    packet_bytes: int
    """The longest statement."""


def load(
    sessions: Sessions,
    source: Source,
    members: Iterable[Member],
    jobs: int,
    keep_order: bool,
    tables: Mapping[str, Filling],
    taking: Taking,
    filled: "Callable[[Connection[pymysql.cursors.Cursor], str], None]",
    progress: Progress,
) -> None:
    """Load the data members over ``jobs`` connections.

    Args:
        keep_order: load each table by one connection, in order.
        tables: how to fill each.
        taking: what the server takes.
        filled: called once for each table that has rows, on a connection, when the last of them is in.
    """
    members = list(members)
    holding = [member for member in members if member.rows]
    for member in holding:
        if member.table not in tables:
            raise Damaged("the archive holds rows of a table that it does not define", _REMEDY)
    by_table = {name: each if taking.local_rows else each.by_insert() for name, each in tables.items()}
    lanes, alone = _lanes(holding, by_table, jobs, keep_order)
    loading = _Loading(sessions, by_table, alone, Counter(member.table or "" for member in holding), taking, filled)
    parallel.load(sessions, source.read_run, lanes, jobs, loading.take, progress)
    for member in members:
        if not member.rows:
            progress(member.plain_bytes)


def _lanes(
    members: list[Member], tables: Mapping[str, Filling], jobs: int, keep_order: bool
) -> tuple[list[Lane], frozenset[str]]:
    """Lanes of whole tables first, the longest ahead, then of single members; and which tables are in the first.

    A table that counts is loaded by one connection at a time: it gets a lane of its own if that is not longer than
    what each connection has to do anyway, else its members are inserted side by side.
    """
    by_table: dict[str, list[Member]] = {}
    for member in members:
        by_table.setdefault(member.table or "", []).append(member)
    sizes = {name: sum(member.plain_bytes for member in own) for name, own in by_table.items()}
    share = sum(sizes.values()) / jobs
    order = parallel.biggest_first(by_table, sizes)
    whole = [
        name
        for name in order
        if keep_order
        or not tables[name].by_key
        or (tables[name].bulk is not None and tables[name].counts and sizes[name] <= share)
    ]
    long = [Lane(tuple(by_table[name]), in_order=True) for name in whole]
    short = [Lane((member,)) for name in order if name not in set(whole) for member in by_table[name]]
    return [*long, *short], frozenset(whole)


class _Loading:
    """The rows on their way."""

    def __init__(
        self,
        sessions: Sessions,
        tables: Mapping[str, Filling],
        whole: frozenset[str],
        left: Counter[str],
        taking: Taking,
        filled: "Callable[[Connection[pymysql.cursors.Cursor], str], None]",
    ) -> None:
        self._sessions = sessions
        self._tables = tables
        self._whole = whole
        self._left = left
        self._taking = taking
        self._filled = filled
        self._lock = threading.Lock()

    def take(self, connection: "Connection[pymysql.cursors.Cursor]", turn: Turn, plain: bytes) -> None:
        """Give one member to the server, and tell where it was the last of its table."""
        member, table = turn.member, turn.member.table or ""
        way = self._tables[table]
        if way.bulk is None or (way.counts and table not in self._whole) or not self._load(connection, member, plain):
            self._insert(connection, member, plain)
        with self._lock:
            self._left[table] -= 1
            last = not self._left[table]
        if last:
            self._filled(connection, table)

    def _load(self, connection: "Connection[pymysql.cursors.Cursor]", member: Member, plain: bytes) -> bool:
        """Whether the server took a member by LOAD DATA, and exactly that."""
        table, text = member.table or "", bulk.text_of(plain, member.rows)
        way = self._tables[table].bulk
        if text is None or way is None or spell(unspell(decode(text.table))) != table:
            return False
        names = [unspell(decode(name)) for name in _NAMES.findall(text.columns or b"")]
        statement = way.statement(names, text.as_bytes)
        if statement is None:
            return False
        what = f"rows of {table}"
        execute(connection, b"START TRANSACTION", what)
        try:
            said = bulk.send(connection, statement, self._watched(bulk.chunks(plain, text)))
        except pymysql.Error as error:
            self._sessions.check()
            if not connection.open:
                raise refusal(error, what) from None
            said = bulk.Said(-1, 0)
        right = said == (member.rows, 0)
        execute(connection, b"COMMIT" if right else b"ROLLBACK", what)
        return right

    def _watched(self, chunks: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for chunk in chunks:
            self._sessions.check()
            yield chunk

    def _insert(self, connection: "Connection[pymysql.cursors.Cursor]", member: Member, plain: bytes) -> None:
        what = f"rows of {member.table}"
        statements = list(inserts(plain, member.table or ""))
        held = sum(rows for _, rows in statements)
        if held != member.rows:
            told = f"a member of {member.table} holds {held} rows where the manifest says {member.rows}"
            raise Damaged(told, _REMEDY)
        self._require_room(max(len(sql) for sql, _ in statements) + 1, what)
        as_bytes = opened(plain).as_bytes
        if as_bytes:
            execute(connection, SET_BYTES[:-2], what)
        self._insert_all(connection, statements, what)
        if as_bytes:
            execute(connection, SET_BACK[:-2], what)

    def _insert_all(
        self, connection: "Connection[pymysql.cursors.Cursor]", statements: list[tuple[bytes, int]], what: str
    ) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                self._send(connection, statements, what)
                return
            except pymysql.Error as error:
                self._sessions.check()
                if number(error) not in _UNDONE or attempt == _TRIES:
                    raise refusal(error, what) from None
                execute(connection, b"ROLLBACK", what)

    def _send(
        self, connection: "Connection[pymysql.cursors.Cursor]", statements: list[tuple[bytes, int]], what: str
    ) -> None:
        connection.query(b"START TRANSACTION")
        for sql, rows in statements:
            self._sessions.check()
            loaded = connection.query(sql)
            if loaded != rows:
                raise Damaged(f"cannot restore {what}: the server took {loaded} rows of {rows} in a statement", _REMEDY)
        connection.query(b"COMMIT")

    def _require_room(self, longest: int, what: str) -> None:
        if longest > self._taking.packet_bytes:
            raise RestoreFailed(
                f"cannot restore {what}: a statement of {longest} bytes is longer than the server takes"
                f" ({self._taking.packet_bytes})",
                f"SET GLOBAL max_allowed_packet = {1 << longest.bit_length()} there, and restore again.",
            )
