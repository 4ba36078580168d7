"""The data section, member by member: rows by COPY through libpq, sequence values and large objects as statements."""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import psycopg2

from backproof.engines import Progress, Source
from backproof.engines.postgresql.lexer import statement
from backproof.engines.postgresql.sessions import Connection, Sessions, execute, refusal
from backproof.engines.postgresql.text import LARGE_OBJECTS, decode
from backproof.errors import Damaged
from backproof.records import Member

_COPY = re.compile(rb'COPY ((?:"[^"]*"|[^" (])+) (?:\((?:"[^"]*"|[^")])*\))? ?FROM stdin;')
_AFTER_ROWS = re.compile(rb"(?:--[^\n]*\n|\s)*")
_READ_BYTES = 1024 * 1024

_REMEDY = "Restore from another copy of this backup."


@dataclass(frozen=True, slots=True)
class Lane:
    """Members that one connection loads in order."""

    members: tuple[Member, ...]
    in_order: bool = False
    """Whether the rows must lie in the table as they lie here: one transaction that begins with a TRUNCATE.

    Into a table that is new in its own transaction the server only appends. Else it looks for room on earlier pages,
    and a short row ends up before longer ones that were loaded first.
    """


def lanes(members: Iterable[Member], sizes: dict[str, int], keep_order: bool) -> list[Lane]:
    """Divide the data members into lanes, those of the biggest tables first.

    Args:
        members: of the data section, in file order.
        sizes: table name to its row bytes.
        keep_order: whether a table's rows must lie in the order of the archive.

    Returns:
        Lanes that may be loaded side by side. What belongs to no table stays in one lane, in order.
    """
    by_table: dict[str | None, list[Member]] = {}
    for member in members:
        apart = member.table is None or member.table.startswith(LARGE_OBJECTS)
        by_table.setdefault(None if apart else member.table, []).append(member)
    serial = by_table.pop(None, [])
    ordered = sorted(by_table.items(), key=lambda item: -sizes.get(item[0] or "", 0))
    if keep_order:
        found = [Lane(tuple(members), in_order=True) for _, members in ordered]
    else:
        found = [Lane((member,)) for _, members in ordered for member in members]
    return [Lane(tuple(serial)), *found] if serial else found


def load(
    sessions: Sessions,
    source: Source,
    work: Iterable[Lane],
    jobs: int,
    keep: Callable[[Member, bytes], list[bytes]],
    progress: Progress,
) -> None:
    """Load all lanes over ``jobs`` connections, each reading one member ahead of the server.

    Args:
        keep: given a member without a table and its text, the statements of it that are wanted.
    """
    queue = _Queue(work)
    readers = ThreadPoolExecutor(jobs, thread_name_prefix="read")

    def worker(connection: Connection) -> None:
        ahead: Future[bytes] | None = None
        current = queue.next(None)
        while current is not None:
            sessions.check()
            plain = (ahead or readers.submit(source.read, current.member)).result()
            following = queue.next(current)
            ahead = readers.submit(source.read, following.member) if following is not None else None
            _load_member(sessions, connection, current, plain, keep)
            progress(current.member.plain_bytes)
            current = following

    try:
        sessions.together([worker] * jobs)
    finally:
        # After an error nobody wants what a slow store may still be sending.
        readers.shutdown(wait=not sessions.stopped.is_set(), cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A member, and whether the transaction of its lane begins or ends with it."""

    member: Member
    begins: bool = False
    ends: bool = False


class _Queue:
    """Lanes waiting to be loaded; a worker that began a lane keeps it."""

    def __init__(self, work: Iterable[Lane]) -> None:
        self._lanes = deque(deque(_turns(lane)) for lane in work if lane.members)
        self._lock = threading.Lock()
        self._mine: dict[int, deque[_Turn]] = {}

    def next(self, current: _Turn | None) -> _Turn | None:
        with self._lock:
            me = threading.get_ident()
            if current is None or not self._mine[me]:
                if not self._lanes:
                    return None
                self._mine[me] = self._lanes.popleft()
            return self._mine[me].popleft()


def _turns(lane: Lane) -> Iterable[_Turn]:
    last = len(lane.members) - 1
    for number, member in enumerate(lane.members):
        yield _Turn(member, lane.in_order and number == 0, lane.in_order and number == last)


def _load_member(
    sessions: Sessions,
    connection: Connection,
    turn: _Turn,
    plain: bytes,
    keep: Callable[[Member, bytes], list[bytes]],
) -> None:
    member = turn.member
    if (copy := copy_statement(member, plain)) is None:
        statements = keep(member, plain)
        if statements:
            execute(connection, b"\n".join(statements), member.table or "sequence values")
        return
    start = copy.end() + 1
    rows = _Rows(plain, start, end_of_rows(plain, start, member), sessions)
    if turn.begins:
        execute(connection, b"BEGIN; TRUNCATE ONLY %b;" % copy[1], f"rows of {member.table}")
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(copy[0], rows, _READ_BYTES)
            loaded = cursor.rowcount
    except psycopg2.Error as error:
        sessions.check()
        raise refusal(error, f"rows of {member.table}{_line(error)}") from None
    if loaded != member.rows:
        raise Damaged(
            f"a member of {member.table} brought {loaded} rows where the manifest says {member.rows}",
            _REMEDY,
        )
    if turn.ends:
        execute(connection, b"COMMIT", f"rows of {member.table}")


def copy_statement(member: Member, plain: bytes) -> re.Match[bytes] | None:
    """The COPY that opens a member of rows, its first group the table; None for a member of statements.

    Raises:
        Damaged: the rows are another table's.
    """
    found = statement(plain, 0)
    copy = _COPY.fullmatch(plain, *found) if found else None
    if copy is not None and decode(copy[1]) != member.table:
        raise Damaged(f"a member that should hold rows of {member.table} holds others", _REMEDY)
    return copy


def end_of_rows(plain: bytes, start: int, member: Member) -> int:
    r"""Where the rows end: at the first line ``\.``, after which nothing but blanks and comments may come."""
    end = start if plain.startswith(b"\\.\n", start) else plain.find(b"\n\\.\n", start) + 1
    if end < start or _AFTER_ROWS.fullmatch(plain, end + 3) is None:
        raise Damaged(f"the rows of {member.table} in the archive do not end as COPY ends them", _REMEDY)
    return end


def _line(error: psycopg2.Error) -> str:
    """Which line of the member, by the server's account; the rest of that account quotes the row."""
    match = re.search(r"line (\d+)", error.diag.context or "")
    return f", line {match.group(1)} of a member" if match else ""


class _Rows:
    """The rows of a member as a file that psycopg2 reads; refuses to go on once another session has failed."""

    def __init__(self, plain: bytes, start: int, end: int, sessions: Sessions) -> None:
        self._plain, self._at, self._end, self._sessions = plain, start, end, sessions

    def read(self, size: int = -1) -> bytes:
        if self._sessions.stopped.is_set():
            raise InterruptedError
        stop = self._end if size < 0 else min(self._at + size, self._end)
        chunk, self._at = self._plain[self._at : stop], stop
        return chunk

    def readline(self, size: int = -1) -> bytes:
        """psycopg2 asks that a file has it; COPY FROM never calls it."""
        raise NotImplementedError
