"""The text of INSERT statements as the file of a LOAD DATA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.engines.mysql import bulk
from backproof.engines.mysql.bulk import Bulk, chunks, text_of
from backproof.engines.mysql.definition import divided

OPENING = b"INSERT INTO `t` VALUES\n"


def bulk_of(*columns: bytes, tail: bytes = b") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4") -> Bulk | None:
    return Bulk.of(divided(b"CREATE TABLE `t` (\n  " + b",\n  ".join(columns) + b"\n" + tail))


def statement(*columns: bytes, named: tuple[str, ...] = (), as_bytes: bool = False) -> bytes | None:
    found = bulk_of(*columns)
    assert found is not None
    return found.statement(named, as_bytes)


def test_bytes_are_read_from_their_digits_and_computed_columns_thrown_away() -> None:
    sql = statement(
        b"`a` int(11) NOT NULL", b"`b``x` blob DEFAULT NULL", b"`g` int(11) GENERATED ALWAYS AS (`a`) STORED"
    )
    assert sql is not None
    assert sql.endswith(
        rb"'),\n' (`a`, @backproof_1, @backproof_2) SET"
        rb" `b``x` = IF(LEFT(@backproof_1, 2) = '0x', UNHEX(SUBSTRING(@backproof_1, 3)), CAST(@backproof_1 AS BINARY))"
    )


def test_values_that_are_written_as_bytes_go_as_they_are() -> None:
    columns = (
        b"`a` text CHARACTER SET latin1",
        b"`b``x` blob DEFAULT NULL",
        b"`g` int(11) GENERATED ALWAYS AS (`a`) STORED",
        b"`e` enum('x') CHARACTER SET binary",
    )
    sql = statement(*columns, as_bytes=True) or b""
    assert b" CHARACTER SET binary FIELDS" in sql
    assert sql.endswith(rb"'),\n' (`a`, `b``x`, @backproof_2, `e`)")


def test_invisible_columns_come_only_where_they_are_named() -> None:
    columns = (b"`a` int(11) NOT NULL", b"`i` int(11) INVISIBLE DEFAULT NULL")
    assert (statement(*columns) or b"").endswith(b" (`a`)")
    assert (statement(*columns, named=("i", "a")) or b"").endswith(b" (`i`, `a`)")
    assert statement(*columns, named=("other",)) is None


@pytest.mark.parametrize(
    ("column", "default", "charset"),
    [
        (b"`a` varchar(3) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin", b"utf8mb4", b"binary"),
        (b"`a` set('x') CHARACTER SET ascii", b"utf8mb3", b"binary"),
        (b"`a` text COMMENT 'CHARACTER SET latin1'", b"utf8mb4 COLLATE=utf8mb4_bin", b"binary"),
        (b"`a` text CHARACTER SET latin1", b"utf8mb4", b"utf8mb4"),
        (b"`a` text", b"latin1", b"utf8mb4"),
        (b"`a` text CHARACTER SET utf8mb4", b"latin1", b"utf8mb4"),
        (b"`a` uuid", b"utf8mb4", b"utf8mb4"),
        (b"`a` inet6 NOT NULL", b"utf8mb4", b"utf8mb4"),
    ],
)
def test_text_goes_as_bytes_where_none_needs_converting(column: bytes, default: bytes, charset: bytes) -> None:
    found = bulk_of(b"`id` int(11)", column, tail=b") ENGINE=InnoDB DEFAULT CHARSET=" + default)
    assert found is not None
    assert b" CHARACTER SET %b FIELDS" % charset in (found.statement((), as_bytes=False) or b"")


@pytest.mark.parametrize("tail", [b") ENGINE=MyISAM", b") ENGINE=InnoDB WITH SYSTEM VERSIONING"])
def test_rows_that_can_not_be_undone_are_inserted(tail: bytes) -> None:
    assert bulk_of(b"`a` int(11)", tail=tail) is None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(bulk_of(b"`a` wonder(3)"), id="a type not known"),
        pytest.param(bulk_of(b"`a` enum('x') CHARACTER SET binary"), id="a word written in digits"),
        pytest.param(bulk_of(b"`a` enum('x')", tail=b") ENGINE=InnoDB DEFAULT CHARSET=binary"), id="all are"),
    ],
)
def test_text_that_may_mean_something_else_in_a_file_is_inserted(found: Bulk | None) -> None:
    assert found is not None
    assert found.statement((), as_bytes=False) is None


@given(
    rows=st.lists(st.lists(st.binary(max_size=12), min_size=1, max_size=4), min_size=1, max_size=4),
    packet=st.integers(min_value=1, max_value=40),
)
def test_the_file_is_the_rows_whatever_is_in_them(rows: list[list[bytes]], packet: int) -> None:
    escapes = {b"\\": b"\\\\", b"'": b"\\'", b"\n": b"\\n", b"\r": b"\\r", b"\0": b"\\0", b"\x1a": b"\\Z"}
    lines = [
        [b"('" + b"".join(escapes.get(bytes([byte]), bytes([byte])) for byte in value) + b"',1)" for value in each]
        for each in rows
    ]
    plain = b"".join(OPENING + b",\n".join(each) + b";\n" for each in lines)
    text = text_of(plain, sum(len(each) for each in rows))
    assert text is not None
    before, bulk.PACKET_BYTES = bulk.PACKET_BYTES, packet
    try:
        sent = list(chunks(plain, text))
    finally:
        bulk.PACKET_BYTES = before
    assert b"".join(sent) == b"".join(line + b",\n" for each in lines for line in each)
    assert all(0 < len(part) <= packet + 2 for part in sent)


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(OPENING + b"(1),(2);\n", id="all on one line"),
        pytest.param(OPENING + b"(1),\n(2),\n(3);\n", id="a row more"),
        pytest.param(OPENING + b"(1),\n(2);", id="cut"),
        pytest.param(OPENING + b"(1);\nINSERT INTO `other` VALUES\n(2);\nDROP TABLE t;\n", id="something else behind"),
        pytest.param(b"DROP TABLE t;\n" + OPENING + b"(1),\n(2);\n", id="something else before"),
    ],
)
def test_a_member_that_is_not_two_rows_a_line_each_is_none(plain: bytes) -> None:
    assert text_of(plain, 2) is None
