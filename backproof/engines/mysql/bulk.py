"""Rows by LOAD DATA, which takes a server two thirds of the time of the INSERT statements: it need not parse them.

What is sent is the very text of those statements: a list of values in brackets, a row a line, is a file whose lines
start with ``(`` and end with ``),``. No file is involved: the rows go from memory, only when we asked for it, and the
driver itself refuses a server that asks for a file.

A server treats what it can't take from such a file mildly: it warns, and leaves a row out. So whoever calls this looks
at what it says, and where that is not exactly the rows that were sent, undoes it and inserts them.
"""

import ssl
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import pymysql
from pymysql.connections import Connection, OKPacketWrapper  # type: ignore[attr-defined]
from pymysql.constants import COMMAND, CR

from backproof.engines.mysql.definition import Definition, Part
from backproof.engines.mysql.pieces import HEADER, INSERT
from backproof.engines.mysql.writing import BINARY_TYPES, TEXT_TYPES, opened
from backproof.lines import line_ends
from backproof.parallel.parts import AT_ONCE, drop

PACKET_BYTES = 128 * 1024
"""Less than any server's ``max_allowed_packet`` that could take the statements themselves."""

_NOT_AS_BYTES = frozenset((b"INET4", b"INET6", b"UUID"))
"""What is another value where its text is given as bytes."""

_UTF8 = frozenset((b"UTF8MB4", b"UTF8MB3", b"UTF8", b"ASCII"))
"""Character sets whose text is, byte for byte, what stands in the dump."""

_FORMAT = (
    rb" FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\'' ESCAPED BY '\\'"
    rb" LINES STARTING BY '(' TERMINATED BY '),\n'"
)


class Said(NamedTuple):
    """What the server made of it."""

    rows: int
    warnings: int


@dataclass(frozen=True)
class Bulk:
    """How the rows of one table are sent."""

    table: bytes
    """Its name, quoted."""
    columns: tuple[Part, ...]
    charset: bytes | None
    """Of rows that are text: ``binary`` where none needs converting, since the server then takes a sixth less of its
    time; None where there is a column whose text means something else in a file."""

    @classmethod
    def of(cls, definition: Definition) -> "Bulk | None":
        """None for a table whose rows can't be undone."""
        if definition.engine != "innodb" or definition.versioned:
            return None
        columns = definition.of("column")
        known = {column.words[0] for column in columns} <= TEXT_TYPES | BINARY_TYPES | _NOT_AS_BYTES
        binary = definition.says(b"CHARSET", b"=", b"BINARY") or any(
            b"SET" in column.words and b"BINARY" in column.words for column in columns
        )
        charset = b"binary" if _is_utf8(definition, columns) else b"utf8mb4"
        return cls(definition.quoted_name, tuple(columns), charset if known and not binary else None)

    def statement(self, named: Sequence[str], as_bytes: bool) -> bytes | None:
        """LOAD DATA for rows of these columns; of all that an INSERT without names means, where there are none.

        The word that stands for a file is never looked at by anybody. None where there is no column of a name, or where
        the rows mean something else in a file.

        Args:
            named: what stands between the brackets of the INSERT.
            as_bytes: how the rows are written; see ``writing``.
        """
        charset = b"binary" if as_bytes else self.charset
        by_name = {column.name: column for column in self.columns}
        if charset is None or not by_name.keys() >= set(named):
            return None
        given = [by_name[name] for name in named] if named else [each for each in self.columns if _is_visible(each)]
        aside = [_is_computed(column) or (not as_bytes and column.words[0] in BINARY_TYPES) for column in given]
        taken = [
            b"@backproof_%d" % number if is_aside else _quoted(column)
            for number, (column, is_aside) in enumerate(zip(given, aside, strict=True))
        ]
        decoded = [
            b"%b = IF(LEFT(%b, 2) = '0x', UNHEX(SUBSTRING(%b, 3)), CAST(%b AS BINARY))"
            % (_quoted(column), *[variable] * 3)
            for column, variable, is_aside in zip(given, taken, aside, strict=True)
            if is_aside and not _is_computed(column)  # the tool also writes those of computed columns
        ]
        start = b"LOAD DATA LOCAL INFILE 'rows' INTO TABLE %b CHARACTER SET %b%b" % (self.table, charset, _FORMAT)
        return b"%b (%b)%b" % (start, b", ".join(taken), b" SET " + b", ".join(decoded) if decoded else b"")


def _is_utf8(definition: Definition, columns: Sequence[Part]) -> bool:
    """Whether all text lies in the table as it stands in the dump."""
    default = any(definition.says(b"CHARSET", b"=", name) for name in _UTF8)
    own = [column.words[column.words.index(b"CHARACTER") + 2] for column in columns if b"CHARACTER" in column.words]
    return default and _UTF8.issuperset(own) and not any(column.words[0] in _NOT_AS_BYTES for column in columns)


def _is_computed(column: Part) -> bool:
    return b"GENERATED" in column.words


def _is_visible(column: Part) -> bool:
    return b"INVISIBLE" not in column.words


def _quoted(column: Part) -> bytes:
    return column.tokens[0][1]


class Text(NamedTuple):
    """A member of rows, taken apart without a look at the rows."""

    table: bytes
    as_bytes: bool
    columns: bytes | None
    """The names between the brackets of each statement, where there are any."""
    values: tuple[tuple[int, int], ...]
    """Where the list of values of each statement lies, without ``;``."""


def text_of(plain: bytes, rows: int) -> Text | None:
    """The statements of a member with so many rows; None where they are not all of one kind, or not a row a line."""
    as_bytes, start, length = opened(plain)
    header = HEADER.match(plain, start)
    first = INSERT.match(plain, header.end() if header else start)
    if first is None or not plain.endswith(b");\n", 0, length):
        return None
    opening, values, begin = first[0], list[tuple[int, int]](), first.end()
    # A long needle is found five times as fast as the end of a statement by itself.
    while (following := plain.find(b");\n" + opening, begin)) >= 0:
        values.append((begin, following + 1))
        begin = following + 3 + len(opening)
    values.append((begin, length - 2))
    lines = sum(line_ends(plain, begin, end) + 1 for begin, end in values)
    return Text(first["table"], as_bytes, first["columns"], tuple(values)) if lines == rows else None


def chunks(plain: bytes, text: Text) -> Iterator[bytes | memoryview]:
    """The rows as a file of the format above."""
    whole = memoryview(plain)
    for begin, end in text.values:
        for position in range(begin, end, PACKET_BYTES):
            part = whole[position : min(position + PACKET_BYTES, end)]
            yield part if position + PACKET_BYTES < end else b"".join((part, b",\n"))


def send(
    connection: "Connection[pymysql.cursors.Cursor]", statement: bytes, rows: Iterator[bytes | memoryview]
) -> Said:
    """Run a LOAD DATA LOCAL and give it its rows. Raises the driver's errors.

    The connection must have been opened with ``CLIENT.LOCAL_FILES``. When ``rows`` raises, it is of no use afterwards.
    """
    driver: Any = connection  # by its lower parts: as a whole it reads files
    driver._execute_command(COMMAND.COM_QUERY, statement)
    if not driver._read_packet().is_load_local_packet():
        raise pymysql.InterfaceError(0, "the server asks for no rows")
    try:
        _give(driver, rows)
    except BaseException:
        driver._force_close()
        raise
    driver.write_packet(b"")
    found = OKPacketWrapper(driver._read_packet())
    return Said(int(found.affected_rows), int(found.warning_count))


def _give(driver: Any, rows: Iterator[bytes | memoryview]) -> None:
    """A packet each; without TLS many at a time and from where they lie, where the driver would copy each."""
    if isinstance(driver._sock, ssl.SSLSocket):
        for part in rows:
            driver.write_packet(part)
        return
    while some := list(islice(rows, AT_ONCE // 2)):
        parts = deque[memoryview]()
        for part in some:
            parts += [memoryview(struct.pack("<I", len(part))[:3] + bytes([driver._next_seq_id])), memoryview(part)]
            driver._next_seq_id = (driver._next_seq_id + 1) % 256
        try:
            while parts:
                drop(parts, driver._sock.sendmsg(parts))
        except OSError as error:
            raise pymysql.OperationalError(
                CR.CR_SERVER_LOST, f"lost connection while rows were sent ({error})"
            ) from None
