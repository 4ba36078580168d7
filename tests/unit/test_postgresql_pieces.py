"""Cutting the data section: nothing lost, nothing made up, however the bytes arrive."""

import io
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.engines import Piece
from backproof.engines.postgresql.pieces import pieces
from backproof.engines.postgresql.text import entries
from backproof.errors import Damaged, DumpFailed

PREAMBLE = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict aB3\n\nSET statement_timeout = 0;\n\n"
CLOSING = b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict aB3\n\n"


def header(kind: str, name: str) -> bytes:
    said = " ".join(name.split("\n"))
    return f"--\n-- Data for Name: {said}; Type: {kind}; Schema: public; Owner: shop\n--\n\n".encode()


def quoted(name: str) -> bytes:
    return b'"' + name.replace('"', '""').encode() + b'"'


def copy(name: str, columns: list[str], rows: list[bytes]) -> bytes:
    listed = b"(" + b", ".join(map(quoted, columns)) + b")" if columns else b""
    head = b"COPY public." + quoted(name) + b" " + listed + b" FROM stdin;\n"
    return header("TABLE DATA", name) + head + b"".join(row + b"\n" for row in rows) + b"\\.\n\n\n"


def large_object(oid: int, content: bytes, chunk: int = 16) -> bytes:
    writes = b"".join(
        b"SELECT pg_catalog.lowrite(0, '\\x%s');\n" % content[start : start + chunk].hex().encode()
        for start in range(0, len(content), chunk)
    )
    return b"SELECT pg_catalog.lo_open('%d', 131072);\n%sSELECT pg_catalog.lo_close(0);\n\n" % (oid, writes)


def large_objects(name: str, objects: dict[int, bytes]) -> bytes:
    inside = b"".join(large_object(oid, content) for oid, content in objects.items())
    return header("BLOBS", name) + b"BEGIN;\n\n" + inside + b"COMMIT;\n\n"


def setval(name: str) -> bytes:
    return f"--\n-- Name: {name}; Type: SEQUENCE SET; Schema: public; Owner: shop\n--\n\n".encode() + (
        f"SELECT pg_catalog.setval('public.\"{name}\"', 7, true);\n\n\n".encode()
    )


class Trickle:
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._pipe, self._sizes, self._count = io.BytesIO(content), sizes, 0

    def readinto(self, buffer: memoryview, /) -> int:
        self._count += 1
        return self._pipe.readinto(buffer[: self._sizes[self._count % len(self._sizes)]])


def cut(content: bytes, piece_bytes: int = 1 << 20) -> list[Piece]:
    return list(pieces(io.BytesIO(content), piece_bytes))


def whole(found: list[Piece]) -> bytes:
    return b"".join(piece.head + piece.body + piece.tail for piece in found)


def content(found: list[Piece]) -> dict[str | None, tuple[int, bytes, tuple[str, ...]]]:
    rows: dict[str | None, int] = defaultdict(int)
    body: dict[str | None, bytes] = defaultdict(bytes)
    columns = {}
    for piece in found:
        rows[piece.table] += piece.rows
        body[piece.table] += piece.body
        columns[piece.table] = piece.columns
    return {table: (rows[table], body[table], columns[table]) for table in rows}


VALUES = st.sampled_from(
    [b"1", b"\\\\.", b"", b"\\N", b"\\\\", b"COPY x FROM stdin;", b"a\\nb", b"--", b"'", b'"', b"$$"]
)
ROWS = st.lists(st.lists(VALUES, min_size=2, max_size=3).map(b"\t".join), max_size=12)
NAMES = st.text(st.sampled_from("ab\"\n;'()., $\\-"), min_size=1, max_size=8) | st.just("x FROM stdin;\nCOPY y")
BLOCKS = st.lists(
    st.builds(copy, NAMES, st.lists(NAMES, min_size=2, max_size=3), ROWS)
    | st.builds(copy, NAMES, st.just([]), st.lists(st.just(b""), max_size=3))
    | st.builds(setval, st.text("ab c", min_size=1, max_size=5))
    | st.builds(
        large_objects,
        st.sampled_from(["BLOBS", "7", "7..9"]),
        st.dictionaries(st.integers(1, 99), st.binary(max_size=70), min_size=1, max_size=3),
    ),
    max_size=5,
).map(lambda blocks: PREAMBLE + b"".join(blocks) + CLOSING)


@given(BLOCKS, st.integers(1, 200), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_pieces_depend_on_the_content_alone_and_lose_nothing(text: bytes, size: int, trickle: list[int]) -> None:
    uncut = cut(text)
    assert whole(uncut) == text
    found = cut(text, size)
    assert found == list(pieces(Trickle(text, trickle), size))
    assert content(found).keys() == content(uncut).keys()
    for table, (rows, body, columns) in content(uncut).items():
        assert content(found)[table] == (rows, body, columns)


@given(BLOCKS, st.integers(1, 200))
def test_every_piece_stands_alone(text: bytes, size: int) -> None:
    for piece in cut(text, size):
        if piece.table is None:
            assert not piece.body
            list(entries(piece.head))
        elif piece.table.startswith("BLOBS"):
            script = piece.head + piece.body + piece.tail
            assert script.count(b"BEGIN;\n") == script.count(b"COMMIT;\n") == 1
            assert script.count(b"lo_open(") == script.count(b"lo_close(")
        else:
            assert piece.head.endswith(b" FROM stdin;\n")
            assert piece.tail.startswith(b"\\.\n")
            assert piece.rows == piece.body.count(b"\n")
            assert len(piece.body) <= size or piece.rows == 1


@given(st.dictionaries(st.integers(1, 9), st.binary(max_size=200), min_size=1, max_size=4), st.integers(1, 120))
def test_large_objects_cut_anywhere_are_written_whole(objects: dict[int, bytes], size: int) -> None:
    written: dict[int, bytearray] = {oid: bytearray() for oid in objects}
    for piece in cut(PREAMBLE + large_objects("BLOBS", objects) + CLOSING, size):
        if piece.table == "BLOBS":
            _write(piece.head + piece.body + piece.tail, written)
    assert {oid: bytes(content) for oid, content in written.items()} == objects


def _write(script: bytes, objects: dict[int, bytearray]) -> None:
    """What the server would do."""
    oid = position = -1
    for line in script.splitlines():
        if b"lo_open('" in line:
            assert oid < 0
            oid, position = int(line.split(b"'")[1]), 0
        elif b"lo_lseek64(" in line:
            position = int(line.split(b",")[1])
        elif b"lowrite(" in line:
            data = bytes.fromhex(line.split(b"'")[1][2:].decode())
            objects[oid][position : position + len(data)] = data
            position += len(data)
        elif b"lo_close(" in line:
            oid = -1


def test_a_table_of_a_thousand_columns_and_strange_names_is_found() -> None:
    names = [f'c{number} ",\n(' for number in range(1000)]
    text = PREAMBLE + copy('t"; COPY x FROM stdin;\n(', names, [b"\t".join([b"1"] * 1000)]) + CLOSING
    (found,) = [piece for piece in cut(text) if piece.table]
    assert found.table == 'public."t""; COPY x FROM stdin;\n("'
    assert found.columns == tuple(names)
    assert found.rows == 1


def test_a_row_larger_than_a_piece_is_a_piece() -> None:
    rows = [b"a", b"b" * 500, b"c"]
    found = [piece for piece in cut(PREAMBLE + copy("t", ["a", "b"], rows) + CLOSING, 100) if piece.table]
    assert [piece.body for piece in found] == [b"a\n", b"b" * 500 + b"\n", b"c\n"]


def test_a_cut_dump_is_refused_wherever_it_is_cut() -> None:
    text = (
        PREAMBLE
        + copy("t", ["a"], [b"1", b"2"])
        + setval("s")
        + large_objects("BLOBS", {1: b"x" * 40})
        + copy("u", [], [b"", b""])
        + CLOSING
    )
    complete = text.index(b"database dump complete\n") + len(b"database dump complete\n")
    for length in range(complete):
        for size in (30, 1 << 20):
            with pytest.raises((DumpFailed, Damaged)):
                cut(text[:length], size)


def test_a_psql_command_between_tables_is_refused() -> None:
    with pytest.raises(Damaged, match="psql command"):
        cut(PREAMBLE + copy("t", ["a"], [b"1"]) + b"\\! id\n" + CLOSING)


@pytest.mark.parametrize("size", [1, 100, 250, 1000])
def test_what_belongs_to_no_table_is_cut_between_entries(size: int) -> None:
    metadata = b"--\n-- Name: 7..9; Type: BLOB METADATA; Schema: -; Owner: shop\n--\n\n" + b"".join(
        b"SELECT pg_catalog.lo_create('%d');\n" % oid for oid in (7, 8, 9)
    )
    text = PREAMBLE + setval("a") + metadata + b"\n" + setval("b") + copy("t", ["a"], [b"1"]) + setval("c") + CLOSING
    found = cut(text, size)
    keys = [entry.key for piece in found if piece.table is None for entry in entries(piece.head)]
    assert keys == [
        "PREAMBLE",
        "SEQUENCE SET public.a",
        "BLOB METADATA 7..9",
        "SEQUENCE SET public.b",
        "SEQUENCE SET public.c",
        "CLOSING",
    ]
    assert whole(found) == text
