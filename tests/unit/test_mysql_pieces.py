"""Cutting rows: nothing lost, nothing made up, however the bytes arrived."""

import gc
import io
import tracemalloc
from collections.abc import Sequence
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.engines import Piece
from backproof.engines.mysql.guard import inserts
from backproof.engines.mysql.names import spell
from backproof.engines.mysql.pieces import pieces
from backproof.errors import DumpFailed
from tests.support.mysql_text import CLOSING, GTID, LOG_POSITION, PREAMBLE, header, quoted, table

NOTHING = "NULL"


def literal(value: object) -> bytes:
    """A value as the tool writes it."""
    if isinstance(value, str):
        escapes = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0", "\x1a": "\\Z"}
        return b"'" + "".join(escapes.get(each, each) for each in value).encode() + b"'"
    if isinstance(value, bytes):
        return b"0x" + value.hex().upper().encode() if value else b"''"
    return b"NULL" if value is None else str(value).encode()


Rows = Sequence[Sequence[object]]


class Form:
    """How a tool writes statements."""

    def __init__(self, one_line: bool = False, columns: bool = False, statement_bytes: int = 200) -> None:
        self.one_line, self.columns, self.statement_bytes = one_line, columns, statement_bytes

    def rows(self, name: str, columns: Sequence[str], rows: Rows, order: bytes = b"") -> bytes:
        listed = b" (" + b", ".join(quoted(column.encode()) for column in columns) + b")" if self.columns else b""
        head = b"INSERT INTO " + quoted(name.encode()) + listed + b" VALUES"
        head += b" " if self.one_line or self.columns else b"\n"
        between = b"," if self.one_line else b",\n"
        parts, length = [header(b"Dumping data for table", name.encode()), order, b"\n"], 0
        for row in rows:
            values = b"(" + b",".join(map(literal, row)) + b")"
            if length and length + len(values) < self.statement_bytes:
                parts += [between, values]
                length += len(values)
            else:
                parts += [b";\n" * bool(length), head, values]
                length = len(head) + len(values)
        return b"".join(parts) + b";\n" * bool(length)


MARIADB, MYSQL = Form(), Form(one_line=True)


class Trickle:
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._pipe, self._sizes, self._count = io.BytesIO(content), sizes, 0

    def readinto(self, buffer: memoryview, /) -> int:
        self._count += 1
        return self._pipe.readinto(buffer[: self._sizes[self._count % len(self._sizes)]])


Columns = dict[str, tuple[str, ...]]


def cut(content: bytes, columns: Columns, piece_bytes: int = 1 << 20, as_bytes: bool = False) -> list[Piece]:
    return list(pieces(io.BytesIO(content), columns, piece_bytes, as_bytes))


PARTS = [*"ab'\"\\\n\r\0\x1a;(),- é", ");\n", "),\n(", "INSERT INTO", "--\n", "VALUES\n("]
STRINGS = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)
VALUES = STRINGS | st.integers(-9, 9) | st.binary(max_size=5) | st.none() | st.just(1e300)
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=12)
NAMES = st.text(st.sampled_from("ab`\"\n;'()., -"), min_size=1, max_size=6) | st.sampled_from(
    ["x);\n(", ");\n\n(", "),\n("]
)
FORMS = st.builds(Form, st.booleans(), st.booleans(), st.sampled_from([1, 60, 200]))
TABLES = st.dictionaries(
    NAMES, st.tuples(FORMS, ROWS, st.lists(NAMES, min_size=2, max_size=2, unique=True)), max_size=4
)


def dump(tables: dict[str, tuple[Form, Rows, list[str]]]) -> tuple[bytes, Columns]:
    text = b"".join(form.rows(name, columns, rows) for name, (form, rows, columns) in tables.items())
    columns = {spell(name): tuple(columns) for name, (_, _, columns) in tables.items()}
    return PREAMBLE + text + CLOSING, columns


@given(TABLES, st.integers(1, 300), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_pieces_depend_on_the_content_alone_and_lose_nothing(
    tables: dict[str, tuple[Form, Rows, list[str]]], size: int, trickle: list[int]
) -> None:
    text, columns = dump(tables)
    uncut = cut(text, columns)
    found = cut(text, columns, size)
    assert found == list(pieces(Trickle(text, trickle), columns, size))
    for each in (uncut, found):
        assert PREAMBLE + b"".join(piece.head + piece.body + piece.tail for piece in each) + CLOSING == text
        assert list(dict.fromkeys(piece.table for piece in each)) == list(columns)
    for name, (_, rows, listed) in tables.items():
        mine = [piece for piece in found if piece.table == spell(name)]
        assert sum(piece.rows for piece in mine) == len(rows)
        assert {piece.columns for piece in mine} == {tuple(listed)}
        assert len(mine) == 1 or all(piece.rows for piece in mine)


@given(TABLES, st.integers(1, 300))
def test_every_piece_is_whole_statements_and_no_longer_than_asked(
    tables: dict[str, tuple[Form, Rows, list[str]]], size: int
) -> None:
    text, columns = dump(tables)
    for piece in cut(text, columns, size):
        assert piece.table is not None
        said = list(inserts(piece.head + piece.body + piece.tail, piece.table))
        assert piece.body == b"".join(statement + b";\n" for statement, _ in said)
        assert [rows for _, rows in said if not rows] == []
        assert sum(rows for _, rows in said) == piece.rows
        assert piece.longest_bytes == max((len(statement + b";\n") for statement, _ in said), default=None)
        assert len(piece.body) <= size or len(said) == 1
        assert piece.head == b"" or piece.head.startswith(b"\n--\n-- Dumping data for table `")


@given(TABLES, st.integers(1, 300))
def test_rows_that_are_written_as_bytes_say_so_in_each_piece(
    tables: dict[str, tuple[Form, Rows, list[str]]], size: int
) -> None:
    text, columns = dump(tables)
    for piece, other in zip(cut(text, columns, size, as_bytes=True), cut(text, columns, size), strict=True):
        assert piece.table is not None
        assert (piece.charset, other.charset) == ("binary", None)
        assert (piece.body, piece.rows) == (other.body, other.rows)
        assert piece.head == (b"SET NAMES binary;\n" if piece.rows else b"") + other.head
        assert piece.tail == (b"SET NAMES utf8mb4;\n" if piece.rows else b"")
        plain = piece.head + piece.body + piece.tail
        assert list(inserts(plain, piece.table)) == list(inserts(other.head + other.body, piece.table))


def test_a_dump_of_no_tables_has_no_pieces() -> None:
    assert cut(PREAMBLE + LOG_POSITION + GTID + CLOSING, {}) == []


@pytest.mark.parametrize(
    "order", [b"-- ORDER BY:  `a`,`b`\n", b"-- ORDER BY:  `k\n-- 1`,`k``2`\n", b"-- ORDER BY:  `cut off"]
)
def test_the_order_in_which_rows_were_read_is_part_of_the_head(order: bytes) -> None:
    text = PREAMBLE + MARIADB.rows("e", ["a"], [], order) + MARIADB.rows("t", ["a"], [[1], [2]], order) + CLOSING
    empty, full = cut(text, {"e": ("a",), "t": ("a",)})
    assert (empty.rows, full.rows) == (0, 2)
    assert order in empty.head
    assert order in full.head
    assert full.body == b"INSERT INTO `t` VALUES\n(1),\n(2);\n"


def test_a_thousand_columns_with_strange_names_are_read() -> None:
    names = [f'c{number} `",\n(' for number in range(1000)]
    text = PREAMBLE + Form(columns=True).rows("t", names, [[1] * 1000]) + CLOSING
    (piece,) = cut(text, {"t": ()})
    assert piece.columns == tuple(names)
    assert piece.rows == 1


def test_a_statement_longer_than_a_piece_is_a_piece() -> None:
    rows = [["a"], ["b" * 5000], ["c"]]
    found = cut(PREAMBLE + MARIADB.rows("t", ["a"], rows) + CLOSING, {"t": ("a",)}, 100)
    assert [piece.rows for piece in found] == [1, 1, 1]
    assert len(found[1].body) > 5000


def test_long_rows_take_a_few_pieces_of_memory() -> None:
    text = PREAMBLE + Form(statement_bytes=100_000).rows("t", ["a"], [["x\\'(" * 300]] * 20_000) + CLOSING
    import_module("numpy")  # which is loaded once, where there are many rows
    gc.collect()
    tracemalloc.start()
    rows = 0
    for piece in pieces(io.BytesIO(text), {"t": ("a",)}, 1 << 20):
        rows += piece.rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 20_000
    assert peak < 12 << 20, peak


def test_a_cut_dump_is_refused_wherever_it_is_cut() -> None:
    columns = {"t": ("a",), "e": ("a",), "u": ("a", "b")}
    text = (
        PREAMBLE
        + Form(statement_bytes=60).rows("t", ["a"], [[");\n"]] * 9)
        + MARIADB.rows("e", ["a"], [])
        + Form(columns=True).rows("u", ["a", "b"], [["(", 1]] * 3)
        + GTID
        + CLOSING
    )
    assert len(cut(text, columns, 60)) > 3
    for length in range(0, len(text) - 1):
        for size in (30, 1 << 20):
            with pytest.raises(DumpFailed):
                cut(text[:length], columns, size)


@pytest.mark.parametrize(
    "between",
    [
        b"LOCK TABLES `t` WRITE;\n",
        b"/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n",
        b"INSERT INTO `other` VALUES\n(1);\n",
        b"UNLOCK TABLES;\n",
        b"\\! id\n",
        table(b"t"),
        b"x" * (3 << 20),
    ],
)
def test_whatever_else_stands_between_tables_is_refused(between: bytes) -> None:
    one, two = MARIADB.rows("t", ["a"], [[1]]), MARIADB.rows("u", ["a"], [[1]])
    begin = one.index(b"INSERT")
    for text in (one + between + two, one[:begin] + between + one[begin:] + two, one + two + between):
        with pytest.raises(DumpFailed):
            cut(PREAMBLE + text + CLOSING, {"t": ("a",), "u": ("a",)})


def test_a_table_that_is_missing_or_too_many_is_named() -> None:
    text = PREAMBLE + MARIADB.rows("t", ["a"], [[1]]) + CLOSING
    with pytest.raises(DumpFailed, match="no rows of `my t`, u"):
        cut(text, {"u": ("a",), "t": ("a",), "`my t`": ("a",)})
    with pytest.raises(DumpFailed, match="rows of t, which was not there"):
        cut(text, {"u": ("a",)})
    with pytest.raises(DumpFailed, match="rows of t, which was not there"):
        cut(PREAMBLE + MARIADB.rows("t", ["a"], [[1]]) * 2 + CLOSING, {"t": ("a",)})


def test_rows_under_another_tables_header_are_refused() -> None:
    text = MARIADB.rows("t", ["a"], [[1]]).replace(b"INTO `t`", b"INTO `u`")
    with pytest.raises(DumpFailed, match="something else where rows of t belong"):
        cut(PREAMBLE + text + CLOSING, {"t": ("a",)})


def test_rows_are_counted_in_strings_of_brackets_and_quotes() -> None:
    rows = [["),("], ["'"], ["\\"], ["\\'),('"], ["("], [""], ["'(" * 1000], [b"(("], [None]]
    for form in (MARIADB, MYSQL, Form(columns=True), Form(True, True), Form(columns=True, statement_bytes=1)):
        (piece,) = cut(PREAMBLE + form.rows("t", ["a"], rows) + CLOSING, {"t": ("a",)})
        assert piece.rows == len(rows)
