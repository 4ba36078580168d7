"""Cutting pg_dump's data section into pieces that stand alone, at the speed of a pipe.

Rows are never looked at one by one: the end of a table is found, and its rows are counted, by searching whole buffers.
A line that is exactly ``\\.`` can only be the end of a table, for COPY writes a backslash of the data twice; and every
newline is the end of a row, for one within a value is written ``\\n``. Where a piece ends depends on the content alone,
not on how the bytes arrived.
"""

import re
from collections.abc import Iterator
from typing import Protocol

from backproof.engines import PIECE_BYTES, Piece
from backproof.engines.postgresql.lexer import Unfinished, statement, tokens
from backproof.engines.postgresql.text import COMPLETE, LARGE_OBJECTS, decode
from backproof.errors import DumpFailed
from backproof.lines import line_ends

_END = b"\n\\.\n"
_COMMIT = b"\nCOMMIT;\n"
_COPY = re.compile(rb'COPY ((?:"(?>(?:[^"]++|"")*)"|[^" (])+) (?:\((.*)\))? ?FROM stdin;', re.DOTALL)
_COLUMN = re.compile(rb'"((?>(?:[^"]++|"")*))"|([^", ]+)')
_HEADER = re.compile(rb"--\n-- (?:Data for |Statistics for )?Name: ([^\n]*); Type: ([A-Z ]+); Schema: [^\n]*\n--\n")
_LO_OPEN = b"SELECT pg_catalog.lo_open('"
_LO_WRITE = b"SELECT pg_catalog.lowrite(0, '\\x"
_LO_CLOSE = b"SELECT pg_catalog.lo_close(0);\n"
_NEAR_BYTES = 4096
_REMEDY = "Run the backup again. If it stays so, run pg_dump by hand and look at what it says."


class Readable(Protocol):
    """A pipe or a file."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Put in as many bytes as there are, and say how many; none at the end."""


def pieces(stream: Readable, piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """The data section as pieces: session settings, tables, sequence values, large objects, closing words.

    A table's first piece begins with its header comment, each begins with its own ``COPY`` and ends with ``\\.``. What
    belongs to no table is a piece with ``table=None`` whose text is all ``head``. Large objects are pieces of pseudo
    tables (``BLOBS``, or ``BLOBS 16400..16410`` where pg_dump groups them by owner), each a transaction of its own, and
    ``rows`` counts the objects that begin in it. Memory is a few pieces, unless a single row is larger.

    Raises:
        DumpFailed: the text ends within a table, or without pg_dump's closing words.
        Damaged: a psql command stands where none belongs.
    """
    window = _Window(stream, piece_bytes)
    while (found := _next_content(window)) is not None:
        plain, head, table, columns = found
        if plain:
            yield _plain(plain)
        if table.startswith(LARGE_OBJECTS):
            yield from _large_objects(window, head, table)
        elif table:
            yield from _rows(window, head, table, columns)
    rest = window.take(len(window.text))
    if COMPLETE not in rest:
        raise DumpFailed("pg_dump's output ends without its closing words", _REMEDY)
    yield _plain(rest)


def _plain(text: bytes) -> Piece:
    return Piece("data", None, (), 0, text, b"", b"")


class _Window:
    """The bytes that were read and not yet handed over: ``text[at:]``."""

    def __init__(self, stream: Readable, piece_bytes: int) -> None:
        self._stream = stream
        self.piece_bytes = piece_bytes
        self._read_bytes = bytearray(piece_bytes)
        """Read into again and again: fresh memory costs as much as what is done with it."""
        self.text = b""
        self.at = 0
        self.ended = False

    def more(self) -> bool:
        """Read another piece's worth; False at the end of the stream. Moves ``at`` to 1 at most."""
        # One byte before is kept: the newline that an end-of-table line needs ahead of it.
        keep = max(0, self.at - 1)
        length = self._read(self.piece_bytes)
        self._put_together(keep, length)
        return length > 0

    def _read(self, wanted: int) -> int:
        """Read so many bytes, fewer only at the end."""
        room, length = memoryview(self._read_bytes)[:wanted], 0
        while length < wanted and not self.ended:
            further = self._stream.readinto(room[length:])
            length += further
            self.ended = not further
        return length

    def _put_together(self, keep: int, length: int) -> None:
        self.text = b"".join((memoryview(self.text)[keep:], memoryview(self._read_bytes)[:length]))
        self.at -= keep

    def whole_lines(self, end_mark: bytes) -> bytes | None:
        """A piece's worth of lines in the usual case: what is at hand and what comes are amidst one table.

        One copy less than putting the text together first. None where it is not the usual case: nothing is lost then.
        """
        carry = len(self.text) - self.at
        if not 0 < carry < self.piece_bytes or _find(self.text, end_mark, self.at - 1, len(self.text)) >= 0:
            return None
        length, read = self._read(self.piece_bytes - carry), self._read_bytes
        seam = self.text[-len(end_mark) :] + read[: min(length, len(end_mark))]
        cut = read.rfind(b"\n", 0, length) + 1
        if not cut or end_mark in seam or _find(read, end_mark, 0, length) >= 0:
            self._put_together(max(0, self.at - 1), length)
            return None
        lines = b"".join((memoryview(self.text)[self.at :], memoryview(read)[:cut]))
        self.text, self.at = bytes(memoryview(read)[cut - 1 : length]), 1
        return lines

    def take(self, end: int) -> bytes:
        """Hand over ``text[at:end]``."""
        begin, self.at = self.at, end
        return self.text[begin:end]

    def find(self, wanted: bytes, start: int, limit: int) -> int | None:
        """Where it begins, relative to ``at``; reads as far as ``limit`` needs; None where it is not there."""
        while (found := _find(self.text, wanted, max(0, self.at + start), self.at + limit)) < 0:
            missing = self.at + limit > len(self.text)
            # What has been searched is not searched again.
            start = max(start, len(self.text) - self.at - len(wanted) + 1)
            if not missing or not self.more():
                return None
        return found - self.at

    def blank_lines(self) -> bytes:
        """Hand over the newlines that come next."""
        end = self.at
        while True:
            while end < len(self.text) and self.text[end] == 0x0A:
                end += 1
            if end < len(self.text) or self.ended:
                return self.take(end)
            length = end - self.at
            self.more()
            end = self.at + length


def _find(text: bytes | bytearray, wanted: bytes, start: int, end: int) -> int:
    """``text.find``; that a long text does not hold it, which is the usual case, is said several times as fast."""
    near = min(end, start + _NEAR_BYTES)
    found = text.find(wanted, start, near)
    if found >= 0 or near == end:
        return found
    # One byte is found at the speed of memory: the backslash is often nowhere, or not before the first NULL.
    second = text.find(wanted[1:2], near - len(wanted), end)
    if second < 0 or text.rfind(wanted, second - 1, end) < 0:
        return -1
    return text.find(wanted, second - 1, end)


def _next_content(window: _Window) -> tuple[bytes, bytes, str, tuple[str, ...]] | None:
    """Everything up to the next table or large objects: plain text before, its head, name and columns.

    None where only closing words remain. Long plain text comes in parts of whole entries, with an empty table name.
    """
    length = 0
    while (found := _statement(window, length)) is not None:
        begin, end = found
        sql = window.text[window.at + begin : window.at + end]
        before = window.text[window.at + length : window.at + begin]
        header = _header(before)
        opens_objects = header is not None and header[2] == b"BLOBS" and sql == b"BEGIN;"
        copy = _COPY.fullmatch(sql) if sql.startswith(b"COPY ") else None
        if opens_objects or copy:
            plain = window.take(window.at + length + (header.start() if header else 0))
            head = window.take(window.at + begin + (end - begin) - len(plain)) + _line_end(window)
            if copy:
                return plain, head, decode(copy[1]), _columns(copy[2] or b"")
            tag = decode(header[1]) if header else LARGE_OBJECTS
            return plain, head, tag if tag == LARGE_OBJECTS else f"{LARGE_OBJECTS} {tag}", ()
        if header is not None and length + header.start() >= window.piece_bytes:
            return window.take(window.at + length + header.start()), b"", "", ()
        length = end
    return None


def _statement(window: _Window, start: int) -> tuple[int, int] | None:
    """The next statement, relative to ``window.at``; None where none follows."""
    while True:
        try:
            found = statement(window.text, window.at + start, partial=not window.ended)
        except Unfinished:
            window.more()
            continue
        return (found[0] - window.at, found[1] - window.at) if found else None


def _header(comments: bytes) -> re.Match[bytes] | None:
    """The last entry header among the comments before a statement."""
    found = None
    for kind, begin, end in tokens(comments):
        if kind == "comment" and (header := _HEADER.match(comments, begin, end)):
            found = header
    return found


def _line_end(window: _Window) -> bytes:
    if window.at == len(window.text):
        window.more()
    if not window.text.startswith(b"\n", window.at):
        raise DumpFailed("pg_dump's output has no line end where one belongs", _REMEDY)
    return window.take(window.at + 1)


def _columns(listed: bytes) -> tuple[str, ...]:
    found = (quoted.replace(b'""', b'"') or bare for quoted, bare in _COLUMN.findall(listed))
    return tuple(decode(name) for name in found)


def _rows(window: _Window, head: bytes, table: str, columns: tuple[str, ...]) -> Iterator[Piece]:
    again = head[_statement_start(head) :]
    while True:
        body, last = _cut(window, _END, "the rows of a table")
        tail = window.take(window.at + 3) + window.blank_lines() if last else b"\\.\n"
        yield Piece("data", table, columns, line_ends(body, 0, len(body)), head, body, tail)
        if last:
            return
        head = again


def _statement_start(head: bytes) -> int:
    found = statement(head, 0)
    return found[0] if found else 0


def _cut(window: _Window, end_mark: bytes, within: str) -> tuple[bytes, bool]:
    """The next whole lines, about a piece, and whether what they belong to ends behind them."""
    if (lines := window.whole_lines(end_mark)) is not None:
        return lines, window.find(end_mark, -1, len(end_mark) - 1) is not None
    size = window.piece_bytes
    end = window.find(end_mark, -1, size + len(end_mark) - 1)
    if end is not None:
        return window.take(window.at + end + 1), True
    if window.at + size > len(window.text):
        raise DumpFailed(f"pg_dump's output ends within {within}", _REMEDY)
    cut = window.text.rfind(b"\n", window.at, window.at + size) - window.at
    if cut < 0:
        # A row that is larger than a piece is a piece.
        beyond = window.find(b"\n", size, 1 << 62)
        if beyond is None:
            raise DumpFailed(f"pg_dump's output ends within {within}", _REMEDY)
        cut = beyond
    body = window.take(window.at + cut + 1)
    return body, window.find(end_mark, -1, len(end_mark) - 1) is not None


def _large_objects(window: _Window, head: bytes, table: str) -> Iterator[Piece]:
    """Cut between lines; within an object the next piece opens it again and goes to where it was."""
    head += window.blank_lines()
    tail = b"COMMIT;\n\n"
    oid, written = b"", 0
    while True:
        body, last = _cut(window, _COMMIT, "a large object")
        oid, written = _open_object(body, oid, written)
        closing = (window.take(window.at + len(_COMMIT) - 1) + window.blank_lines()) if last else tail
        cut_within = bool(oid) and not last
        yield Piece("data", table, (), body.count(_LO_OPEN), head, body, (_LO_CLOSE + b"\n") * cut_within + closing)
        if last:
            return
        seek = b"SELECT pg_catalog.lo_lseek64(0, %d, 0);\n" % written
        head = b"BEGIN;\n\n" + (_LO_OPEN + oid + b"', 131072);\n" + seek if cut_within else b"")


def _open_object(body: bytes, oid: bytes, written: int) -> tuple[bytes, int]:
    """Which object is open where a piece ends, and how many bytes of it were written by then."""
    opened, closed = body.rfind(_LO_OPEN), body.rfind(_LO_CLOSE)
    if opened < 0 and closed < 0:
        begin = 0
    elif closed > opened:
        return b"", 0
    else:
        oid, written = body[opened + len(_LO_OPEN) : body.index(b"'", opened + len(_LO_OPEN))], 0
        begin = body.index(b"\n", opened) + 1
    lines = body.count(b"\n", begin)
    return oid, written + (len(body) - begin - lines * (len(_LO_WRITE) + len(b"');\n"))) // 2
