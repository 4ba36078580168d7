"""Cutting a dump of rows into pieces of whole statements, at the speed of a pipe.

Rows are never looked at one by one. A line end within a value is always written ``\\n``, so ``;`` at the end of a line
can only be the end of a statement, and a blank line behind it the end of the table; both are found, and rows are
counted, over whole buffers at once. Where a piece ends depends on the content alone, not on how the bytes arrived.

MariaDB writes a row a line. MySQL and older tools write a statement a line: there, and in the one case in which
MariaDB's first row shares a line with the column list, rows are told from strings statement by statement.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple, Protocol

from backproof.engines import PIECE_BYTES, Piece
from backproof.engines.mysql import writing
from backproof.engines.mysql.names import decode, spell
from backproof.engines.mysql.shapes import NAME
from backproof.engines.mysql.text import COMPLETE, entries
from backproof.errors import Damaged, DumpFailed
from backproof.lines import Lines, look

_TABLE = b"\n--\n-- Dumping data for table "
HEADER = re.compile(
    rb"\n?--\n-- Dumping data for table (" + NAME + rb")\n--\n"
    rb"(?:-- (?:ORDER BY|WHERE):  [^\n]*\n(?:-- (?!-)[^\n]*\n)*)*\n?"
)
INSERT = re.compile(
    rb"INSERT INTO (?P<table>" + NAME + rb")(?: \((?P<columns>(?:" + NAME + rb"(?:, )?)+)\))? VALUES(?:\n| )(?=\()"
)
"""Everything of a statement of rows that comes before the first of them."""
_NAMES = re.compile(NAME)
_END = b");\n"
_END_OF_TABLE = b");\n\n"
_DULL = bytes(set(range(256)) - set(b"'("))
_REMEDY = "Run the backup again. If it stays so, run mariadb-dump by hand and look at what it says."


class Readable(Protocol):
    """A pipe or a file."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Put in as many bytes as there are, and say how many; none at the end."""


def pieces(
    stream: Readable,
    columns: Mapping[str, tuple[str, ...]],
    piece_bytes: int = PIECE_BYTES,
    as_bytes: bool = False,
) -> Iterator[Piece]:
    """A dump of rows (``--no-create-info --skip-triggers``) as pieces, table by table, from first byte to last.

    A piece is whole statements; one that is longer than ``piece_bytes`` is a piece. The header comment is the ``head``
    of a table's first piece. A table without rows is one piece with ``rows=0``. What is no table's is not handed over.

    Args:
        columns: by name as ``Table.name`` spells it; each of these tables must come, and no other.
        as_bytes: whether the tool was told to write bytes; each piece with rows then sets the session's character set.

    Raises:
        DumpFailed: the text ends early, or holds another table, or lacks one.
    """
    window = _Window(stream, piece_bytes)
    _pass_preamble(window)
    around = _Around(writing.SET_BYTES, writing.SET_BACK, writing.BYTES) if as_bytes else _Around(b"", b"", None)
    missing = dict(columns)
    while (header := _next_header(window)) is not None:
        table, head = header
        if table not in missing:
            raise DumpFailed(f"mariadb-dump wrote rows of {table}, which was not there before", _REMEDY)
        yield from _rows(window, table, missing.pop(table), head, around)
    _check_closing(window)
    if missing:
        raise DumpFailed(f"mariadb-dump wrote no rows of {', '.join(sorted(missing))}", _REMEDY)


class _Around(NamedTuple):
    """What a piece with rows begins and ends with."""

    head: bytes
    tail: bytes
    charset: str | None


class _Window:
    """The bytes that were read and not yet handed over: ``text[at:end]``.

    They are read into the same memory again and again: fresh memory costs as much as what is done with it.
    """

    def __init__(self, stream: Readable, piece_bytes: int) -> None:
        self._stream = stream
        self.piece_bytes = piece_bytes
        self.text = bytearray(2 * piece_bytes)
        self.at = self.end = 0
        self.taken_bytes = 0
        self.ended = False

    @property
    def length(self) -> int:
        """How many bytes are at hand."""
        return self.end - self.at

    def fill(self, wanted: int) -> None:
        """Have so many bytes at hand, fewer only at the end."""
        if self.length >= wanted or self.ended:
            return
        self._make_room(max(wanted, self.length + self.piece_bytes))
        room = memoryview(self.text)
        while self.length < wanted and (read := self._stream.readinto(room[self.end :])):
            self.end += read
        self.ended = self.length < wanted

    def _make_room(self, wanted: int) -> None:
        """Move what is at hand to the beginning of a text that has room for so many bytes."""
        held = memoryview(self.text)[self.at : self.end]
        size = max(wanted, 2 * self.piece_bytes)
        if size != len(self.text):
            self.text = bytearray(size)
        memoryview(self.text)[: len(held)] = held
        self.at, self.end = 0, len(held)

    def find(self, wanted: bytes, start: int, limit: int = 1 << 62) -> int:
        """Where it begins, relative to ``at``; reads on until it comes. -1 where it does not, before ``limit``."""
        while (found := self.text.find(wanted, self.at + start, self.end)) < 0:
            length = self.length
            if self.ended or length > limit:
                return -1
            start = max(start, length - len(wanted) + 1)
            self.fill(length + max(self.piece_bytes, length // 2))
        return found - self.at

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """A match at ``at``, of something that is short; to be asked before more is read."""
        self.fill(_SHORT_BYTES)
        return pattern.match(self.text, self.at, self.end)

    def goes_on(self, wanted: bytes, start: int = 0) -> bool:
        """Whether it is what comes next, or from ``start`` on."""
        self.fill(start + len(wanted))
        return self.text.startswith(wanted, self.at + start, self.end)

    def take(self, length: int) -> bytes:
        """Hand over so many bytes."""
        begin, self.at = self.at, min(self.end, self.at + length)
        self.taken_bytes += length
        return bytes(memoryview(self.text)[begin : self.at])


_MUCH_BYTES = 8 * 1024 * 1024
_SHORT_BYTES = 2 * 1024 * 1024
"""What opening and closing words do not exceed, nor an INSERT with its list of 4096 names of 64 characters."""


def _pass_preamble(window: _Window) -> None:
    window.take(max(0, window.find(_TABLE, 0, _SHORT_BYTES)))


def _next_header(window: _Window) -> tuple[str, bytes] | None:
    if (match := window.match(HEADER)) is None:
        return None
    # The tool puts "-- " at the beginning of each line of a comment, within a name too.
    quoted = match[1].replace(b"\n-- ", b"\n")
    return spell(decode(quoted[1:-1].replace(b"``", b"`"))), window.take(len(match[0]))


def _rows(window: _Window, table: str, columns: tuple[str, ...], head: bytes, around: "_Around") -> Iterator[Piece]:
    match = window.match(INSERT)
    if match is None:
        yield Piece("data", table, columns, 0, head, b"", b"", around.charset)
        return
    insert = match[0]
    if spell(_unquoted(match["table"])) != table:
        raise _other_rows(table)
    if match["columns"]:
        columns = tuple(_unquoted(name) for name in _NAMES.findall(match["columns"]))
    # A name may look like the end of a statement or of a table.
    cut = _cut_slowly if b"\n" in insert[:-1] else _cut
    last = False
    while not last:
        length, lines = cut(window, insert, table)
        body = window.take(length)
        last = not window.goes_on(insert)
        rows, longest = _count(body, lines, insert, table)
        yield Piece("data", table, columns, rows, around.head + head, body, around.tail, around.charset, longest)
        head = b""


def _unquoted(name: bytes) -> str:
    return decode(name[1:-1].replace(b"``", b"`"))


def _cut(window: _Window, insert: bytes, table: str) -> tuple[int, Lines | None]:
    """How long the next piece is, whole statements of one table, of about a piece's length; and what its lines are."""
    size = window.piece_bytes
    window.fill(size + len(_END_OF_TABLE))
    begin = window.at
    cut = window.text.rfind(_END, begin, min(begin + size, window.end)) + len(_END) - begin
    if cut < len(_END):
        cut = _end_of_statement(window, size - len(_END) + 1, table)
        window.fill(cut + 1)
        begin = window.at
    lines = look(window.text, begin, min(begin + cut + 1, window.end), window.taken_bytes > _MUCH_BYTES)
    return lines.length if lines.blank else cut, lines


def _cut_slowly(window: _Window, insert: bytes, table: str) -> tuple[int, Lines | None]:
    """The same, one statement at a time."""
    cut = 0
    while True:
        end = _end_of_statement(window, cut + len(insert), table)
        if cut and end > window.piece_bytes:
            return cut, None
        cut = end
        if not window.goes_on(insert, cut):
            return cut, None


def _end_of_statement(window: _Window, start: int, table: str) -> int:
    found = window.find(_END, max(0, start))
    if found < 0:
        raise DumpFailed(f"mariadb-dump's output ends within the rows of {table}", _REMEDY)
    return found + len(_END)


def _count(body: bytes, lines: Lines | None, insert: bytes, table: str) -> tuple[int, int]:
    """The rows in whole statements, all of which open as the first does, and the bytes of the longest statement."""
    if lines is None or not insert.endswith(b"\n"):
        statements = list(_statements(body, insert, table))
        return sum(rows for rows, _ in statements), max(length for _, length in statements)
    starts = list(_starts(body, insert))
    if not body.endswith(_END) or len(starts) != lines.closed:
        raise _other_rows(table)
    return lines.ended - lines.closed, max(end - start for start, end in pairwise([*starts, len(body)]))


def _starts(body: bytes, insert: bytes) -> Iterator[int]:
    start = 0
    while start >= 0:
        yield start
        found = body.find(_END + insert, start)
        start = found + len(_END) if found >= 0 else -1


def _statements(body: bytes, insert: bytes, table: str) -> Iterator[tuple[int, int]]:
    """Rows and bytes of each statement, looked at one at a time."""
    end = 0
    while end < len(body):
        start, begin = end, end + len(insert)
        if not body.startswith(insert, start):
            raise _other_rows(table)
        end = body.index(_END, begin) + len(_END)
        lines = body.count(b"\n", begin, end)
        yield lines if lines > 1 or insert.endswith(b"\n") else _opened(body[begin:end]), end - start


def _other_rows(table: str) -> DumpFailed:
    return DumpFailed(f"mariadb-dump wrote something else where rows of {table} belong", _REMEDY)


def unescaped(values: bytes) -> bytes:
    """A list of values without the escapes that could hide where a string ends."""
    # In a run of backslashes the first begins an escape, so pairs can be dropped as they come.
    return values.replace(b"\\\\", b"").replace(b"\\'", b"") if b"\\" in values else values


def _opened(values: bytes) -> int:
    """The brackets that are opened outside of strings."""
    return b"".join(unescaped(values).translate(None, _DULL).split(b"'")[::2]).count(b"(")


def _check_closing(window: _Window) -> None:
    window.fill(_SHORT_BYTES)
    text = window.take(window.length)
    if not window.ended:
        raise DumpFailed("mariadb-dump's output goes on where only closing words belong", _REMEDY)
    if not COMPLETE.search(text):
        raise DumpFailed("mariadb-dump's output ends without its closing words", _REMEDY)
    try:
        kinds = {entry.kind for entry in entries(text)}
    except Damaged as error:
        raise DumpFailed(f"mariadb-dump's output is not what is asked of it: {error.fact}", _REMEDY) from None
    if not kinds <= {"PREAMBLE", "CLOSING"}:
        raise DumpFailed("mariadb-dump wrote definitions where only rows are asked of it", _REMEDY)
