"""The consistent point: several transactions that see the same rows, because nobody could commit while they began.

Commits are held by the mildest lock the account may take, for as long as it takes every reader to begin its snapshot,
and no longer than a limit. Then writers go on and the snapshots stay. That the lock held is checked: the position in
the binary log is the same at its begin and its end, and it is released by the session that took it.

Definitions are in no snapshot: see ``inventory``. Tables without transactions are in none either: while they are small,
and the account may lock them, they stay locked against writing until the dump has ended.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import connect, inventory, locks
from backproof.engines.mysql.binaries import Flavour, flavour_of
from backproof.engines.mysql.inventory import Catalogue, TableFacts
from backproof.engines.mysql.locks import Method
from backproof.errors import Busy, ConnectionLost, DumpFailed
from backproof.findings import listed
from backproof.records import Target

LOCK_SECONDS = 10
"""How long to wait for a lock: whoever wants to write waits behind us for so long."""

HOLD_SECONDS = 10.0
"""How long commits are held at most."""

WAIT = "Run the backup again when the migration or job that does so has ended."

_ONE_YEAR = 31_536_000

# A connection that holds a snapshot is idle for hours, and what is asked of it may take as long.
_OF_MARIADB = ("max_statement_time", "idle_transaction_timeout", "idle_readonly_transaction_timeout")
_OF_MYSQL = ("max_execution_time",)


class Point:
    """A schema about to be, and then, open at one moment. Made by ``consistent_point``."""

    def __init__(self, target: Target, reader: Connection, watcher: Connection, catalogue: Catalogue) -> None:
        self.target = target
        self.catalogue = catalogue
        self.locked: frozenset[str] = frozenset()
        """Tables without transactions that nobody can write to."""
        self.taken_at = datetime.min.replace(tzinfo=UTC)
        """By the server's clock."""
        self.method = ""
        self.held_seconds = 0.0
        """How long writers had to wait."""
        self.binary_log: dict[str, Any] = {}
        """``file``, ``position`` and ``gtid`` at this moment, as far as they are known."""
        self.version = str(connect.rows(watcher, "SELECT VERSION()")[0][0])
        self.flavour: Flavour = flavour_of(self.version)
        self._reader = reader
        self._watcher = watcher
        self._reading = threading.Lock()
        self._cancelled = threading.Event()
        self._keeper: Connection | None = None
        self._watching = threading.Lock()

    @contextmanager
    def held(self, methods: Sequence[Method] | None = None) -> Iterator[float]:
        """Hold commits: whoever begins a snapshot meanwhile sees what all others see. Its own is begun first.

        Args:
            methods: ways to do so, the first one that this account may take is taken.

        Yields:
            The time, by ``time.monotonic``, at which writers will have waited long enough.

        Raises:
            Busy: the lock could not be had in time, or somebody committed all the same.
            AccessDenied: the account may take none.
            ConnectionLost: the session that held the lock is gone.
        """
        choice = methods or locks.methods(self.flavour, self.catalogue.tables.values())
        method, since = locks.hold(self._watcher, choice)
        try:
            before = self._position()
            self._begin()
            yield since + HOLD_SECONDS
            after = self._position()
        except BaseException:
            # Whatever it was, nobody must wait for us any longer: with the session its locks end.
            connect.close(self._watcher)
            raise
        with _ours():
            self._watcher.query(method.release)
        self.held_seconds = time.monotonic() - since
        self.method = method.name
        if method.everywhere and before != after:
            raise Busy("somebody committed while commits were held for the dump", "Run the backup again.")

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read the present, not the point; from any thread.

        Raises:
            ConnectionLost, AccessDenied, DumpFailed: as the server says.
        """
        with self.using() as connection:
            return connect.rows(connection, sql, args)

    @contextmanager
    def using(self) -> Iterator[Connection]:
        """The connection of ``rows``, for more than one statement."""
        with self._watching, _ours():
            yield self._watcher

    def count(self, tables: Sequence[TableFacts]) -> dict[str, int]:
        """Rows at the point, by name; from any thread.

        Raises:
            Busy: a table is not any more what it was.
        """
        found: dict[str, int] = {}
        for batch in inventory.batches(tables):
            with self._reading, _ours():
                if self._cancelled.is_set():
                    raise ConnectionLost("counting was broken off, since the dump had failed")
                try:
                    found |= inventory.count(self._reader, batch)
                except pymysql.Error as error:
                    if connect.number(error) not in inventory.MOVED:
                        raise
                    raise Busy(f"a table changed during the dump: {connect.message(error)}", WAIT) from None
        return found

    def now(self) -> Catalogue:
        """The catalogue as it is by now; from any thread."""
        with self.using() as connection:
            return inventory.take(connection, self.target.database)

    def expect_unchanged(self, names: Iterable[str]) -> None:
        """That these tables are still what they were at the point, and not others in their place.

        Raises:
            Busy: names those that are not.
            ConnectionLost: tables that were locked are not any more.
        """
        with self.using() as connection:
            now = inventory.tables(connection, self.target.database)
            if self._keeper is not None:
                connect.rows(self._keeper, "SELECT 1")
        if changes := self.catalogue.tables_changed(names, now):
            raise Busy(f"tables changed during the dump: {listed(changes, 5)}", WAIT)

    def keep(self, stack: ExitStack, lock_seconds: float = LOCK_SECONDS) -> None:
        """Lock tables without transactions, for as long as the context lasts, if they are few enough bytes.

        Raises:
            Busy: somebody writes to one of them all the time.
        """
        tables = [facts for facts in self.catalogue.tables.values() if facts.carried and not facts.transactional]
        if not tables or sum(facts.data_bytes for facts in tables) > locks.LOCKED_BYTES:
            return
        connection = _session(stack, self.target, lock_seconds)
        if locks.keep(connection, tables):
            self._keeper = connection
            self.locked = frozenset(facts.name for facts in tables)

    def cancel(self) -> None:
        """Stop what another thread is counting here, when nobody wants it any more."""
        self._cancelled.set()
        connect.cancel(self.target, self._reader)

    def _begin(self) -> None:
        with _ours():
            self._reader.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._reader.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            ((taken_at,),) = connect.rows(self._reader, "SELECT UTC_TIMESTAMP(6)")
            self.taken_at = taken_at.replace(tzinfo=UTC)
            # Of the snapshot itself, and it takes no right.
            status = dict(connect.rows(self._reader, "SHOW STATUS LIKE 'binlog\\_snapshot\\_%'"))
        if status.get("Binlog_snapshot_file"):
            self.binary_log["file"] = status["Binlog_snapshot_file"]
            self.binary_log["position"] = int(status["Binlog_snapshot_position"])
        elif self.flavour == "mysql":
            self.binary_log |= self._position_of_mysql()
        self.binary_log["gtid"] = self._position()

    def _position(self) -> str | None:
        """The GTIDs of all that was committed, where there is a binary log that has them."""
        variable = "@@GLOBAL.gtid_binlog_pos" if self.flavour == "mariadb" else "@@GLOBAL.gtid_executed"
        return self.rows(f"SELECT {variable}")[0][0] or None

    def _position_of_mysql(self) -> dict[str, Any]:
        for statement in ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"):
            with suppress(pymysql.Error):
                for file, position, *_ in connect.rows(self._watcher, statement):
                    return {"file": file, "position": int(position)}
        return {}


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except pymysql.Error as error:
        raise connect.translate(error, DumpFailed) from None


@contextmanager
def consistent_point(target: Target, lock_seconds: float = LOCK_SECONDS) -> Iterator[Point]:
    """The connections for a point, the catalogue before it, and small tables without transactions locked.

    Raises:
        Busy: a table without transactions is being written to all the time.
        AccessDenied, NotFound, ConnectionLost: the schema can't be reached.
    """
    with ExitStack() as stack:
        reader, watcher = (_session(stack, target, lock_seconds) for _ in range(2))
        try:
            point = Point(target, reader, watcher, inventory.settled(watcher, target.database))
        except pymysql.Error as error:
            raise connect.translate(error, DumpFailed) from None
        point.keep(stack, lock_seconds)
        yield point


@contextmanager
def present_point(target: Target) -> Iterator[Point]:
    """What looks like a point, and is the present: for definitions alone, where nobody is to be held up.

    Raises:
        AccessDenied, NotFound, ConnectionLost: the schema can't be reached.
    """
    with ExitStack() as stack, _ours():
        connection = _session(stack, target, LOCK_SECONDS)
        yield Point(target, connection, connection, inventory.take(connection, target.database))


def _session(stack: ExitStack, target: Target, lock_seconds: float) -> Connection:
    connection = stack.enter_context(connect.connected(target))
    version = str(connect.rows(connection, "SELECT VERSION()")[0][0])
    values = {"wait_timeout": _ONE_YEAR, "lock_wait_timeout": max(1, int(lock_seconds))}
    connection.query("SET SESSION time_zone = '+00:00', sql_mode = ''")
    for name in _OF_MARIADB if flavour_of(version) == "mariadb" else _OF_MYSQL:
        values[name] = 0
    for name, value in values.items():
        with suppress(pymysql.Error):  # not every release has each
            connection.query(f"SET SESSION {name} = {value}")
    return connection
