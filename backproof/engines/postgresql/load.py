"""The data section, member by member: rows by COPY through libpq, sequence values and large objects as statements."""

import re
from collections.abc import Callable, Iterable
from functools import cache

import psycopg2

from backproof.engines import Progress, Source
from backproof.engines.postgresql.lexer import statement
from backproof.engines.postgresql.sending import MESSAGE_BYTES, Rows, bare_socket
from backproof.engines.postgresql.sessions import Connection, Sessions, execute, refusal
from backproof.engines.postgresql.text import LARGE_OBJECTS, decode
from backproof.errors import Damaged
from backproof.parallel import lanes as parallel
from backproof.parallel.lanes import SMALL_BYTES, Turn, lanes
from backproof.records import Member

_COPY = re.compile(rb'COPY ((?:"[^"]*"|[^" (])+) (?:\((?:"[^"]*"|[^")])*\))? ?FROM stdin;')
_AFTER_ROWS = re.compile(rb"(?:--[^\n]*\n|\s)*")

_REMEDY = "Restore from another copy of this backup."


def load(
    sessions: Sessions,
    source: Source,
    members: Iterable[Member],
    jobs: int,
    keep_order: bool,
    keep: Callable[[Member, bytes], list[bytes]],
    progress: Progress,
) -> None:
    """Load the data members over ``jobs`` connections.

    Rows whose order is kept are loaded in one transaction that begins with a TRUNCATE: into a table that is new in its
    own transaction the server only appends. Else it looks for room on earlier pages, and a short row ends up before
    longer ones that were loaded first. Such rows are also frozen at once: nobody who reads them has to look up whether
    they were committed, and write that down; no vacuum has to do it later. So is any other table that is neither small
    nor so large that the other connections would wait for it.

    Args:
        keep: given a member without a table and its text, the statements of it that are wanted.
    """
    sizes = {table.name: table.row_bytes for table in source.manifest.tables}
    members = list(members)
    largest = sum(member.plain_bytes for member in members) // (2 * jobs if jobs > 1 else 1)

    def in_order(table: str) -> bool:
        return keep_order or SMALL_BYTES <= sizes.get(table, 0) <= largest

    work = lanes(members, sizes, in_order, apart=lambda table: table.startswith(LARGE_OBJECTS))

    bare = cache(bare_socket)

    def take(connection: Connection, turn: Turn, plain: bytes) -> None:
        _load_member(sessions, connection, bare(connection), turn, plain, keep)

    parallel.load(sessions, source.read_run, work, jobs, take, progress)


def _load_member(
    sessions: Sessions,
    connection: Connection,
    bare: int | None,
    turn: Turn,
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
    rows = Rows(plain, start, _last_of_rows(plain, start, member), sessions.stopped, bare)
    if turn.begins:
        execute(connection, b"BEGIN; TRUNCATE ONLY %b;" % copy[1], f"rows of {member.table}")
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(_frozen(copy[0]) if turn.in_order else copy[0], rows, MESSAGE_BYTES)
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


def _frozen(copy: bytes) -> bytes:
    return copy.removesuffix(b";") + b" WITH (FREEZE);"


def end_of_rows(plain: bytes, start: int, member: Member) -> int:
    r"""Where the rows end: at the first line ``\.``, after which nothing but blanks and comments may come."""
    return _expect_nothing_after(plain, _at(plain, start, plain.find(b"\n\\.\n", start)), start, member)


def _last_of_rows(plain: bytes, start: int, member: Member) -> int:
    """The same without a look at the rows: were there such a line before, the server would stop at it, and count fewer
    rows than the manifest."""
    return _expect_nothing_after(plain, _at(plain, start, plain.rfind(b"\n\\.\n", start)), start, member)


def _at(plain: bytes, start: int, found: int) -> int:
    return start if plain.startswith(b"\\.\n", start) else found + 1


def _expect_nothing_after(plain: bytes, end: int, start: int, member: Member) -> int:
    if end < start or _AFTER_ROWS.fullmatch(plain, end + 3) is None:
        raise Damaged(f"the rows of {member.table} in the archive do not end as COPY ends them", _REMEDY)
    return end


def _line(error: psycopg2.Error) -> str:
    """Which line of the member, by the server's account; the rest of that account quotes the row."""
    match = re.search(r"line (\d+)", error.diag.context or "")
    return f", line {match.group(1)} of a member" if match else ""
