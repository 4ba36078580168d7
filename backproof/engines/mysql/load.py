"""The data section, member by member: whole INSERT statements as the dump tool wrote them, over several connections.

The statements of a member are one transaction: a commit costs a write to the server's disk, and one for each statement
would be eight times as many. Where a deadlock undoes one, it is tried again.
"""

from collections.abc import Iterable

import pymysql
from pymysql.connections import Connection

from backproof.engines import Progress, Source
from backproof.engines.mysql.connect import number
from backproof.engines.mysql.guard import inserts
from backproof.engines.mysql.sessions import Sessions, execute, refusal
from backproof.errors import Damaged, RestoreFailed
from backproof.parallel import lanes as parallel
from backproof.parallel.lanes import Turn, lanes
from backproof.records import Member

_UNDONE = (1213, 1205)
"""A deadlock, a lock that could not be had: the transaction is gone, and may go through another time."""

_TRIES = 5
_REMEDY = "Restore from another copy of this backup."


def load(
    sessions: Sessions,
    source: Source,
    members: Iterable[Member],
    jobs: int,
    keep_order: bool,
    packet_bytes: int,
    progress: Progress,
) -> None:
    """Load the data members over ``jobs`` connections.

    Args:
        keep_order: load each table by one connection, in order: without a primary key rows lie as they came.
        packet_bytes: the longest statement that the server takes.
    """
    sizes = {table.name: table.row_bytes for table in source.manifest.tables}
    work = lanes((member for member in members if member.rows), sizes, keep_order)

    def take(connection: "Connection[pymysql.cursors.Cursor]", turn: Turn, plain: bytes) -> None:
        _load_member(sessions, connection, turn.member, plain, packet_bytes)

    parallel.load(sessions, source.read, work, jobs, take, progress)
    for member in members:
        if not member.rows:
            progress(member.plain_bytes)


def _load_member(
    sessions: Sessions,
    connection: "Connection[pymysql.cursors.Cursor]",
    member: Member,
    plain: bytes,
    packet_bytes: int,
) -> None:
    what = f"rows of {member.table}"
    statements = list(inserts(plain, member.table or ""))
    held = sum(rows for _, rows in statements)
    if held != member.rows:
        raise Damaged(f"a member of {member.table} holds {held} rows where the manifest says {member.rows}", _REMEDY)
    longest = max(len(sql) for sql, _ in statements) + 1
    if longest > packet_bytes:
        raise RestoreFailed(
            f"cannot restore {what}: a statement of {longest} bytes is longer than the server takes ({packet_bytes})",
            f"SET GLOBAL max_allowed_packet = {1 << longest.bit_length()} there, and restore again.",
        )
    for attempt in range(1, _TRIES + 1):
        try:
            _insert(sessions, connection, statements, what)
            return
        except pymysql.Error as error:
            sessions.check()
            if number(error) not in _UNDONE or attempt == _TRIES:
                raise refusal(error, what) from None
            execute(connection, b"ROLLBACK", what)


def _insert(
    sessions: Sessions,
    connection: "Connection[pymysql.cursors.Cursor]",
    statements: list[tuple[bytes, int]],
    what: str,
) -> None:
    connection.query(b"START TRANSACTION")
    for sql, rows in statements:
        sessions.check()
        loaded = connection.query(sql)
        if loaded != rows:
            raise Damaged(f"cannot restore {what}: the server took {loaded} rows of {rows} in a statement", _REMEDY)
    connection.query(b"COMMIT")
