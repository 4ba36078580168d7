"""What goes into an archive comes out of it, however it was cut and whichever way it is read."""

import gzip
import hashlib
import os
import random
import subprocess
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.archive.encryption import KeyRing
from backproof.archive.writer import ArchiveWriter
from backproof.engines import Piece
from backproof.errors import ConnectionLost, Damaged, DumpFailed
from tests.support.archives import KEY, SHOP, make, ranges, rows_of, sql

CONTEXT = {"plan": "shop", "backup": "backup_2025-11-07_020000", "kind": "daily"}

texts = st.binary(max_size=300)
data_pieces = st.builds(
    Piece,
    st.just("data"),
    st.sampled_from([None, "public.users", 'public."odd; name\n"']),
    st.just(("a", "b")),
    st.integers(0, 9),
    texts,
    texts,
    texts,
)
dumps = st.lists(data_pieces, max_size=8)
frame_sizes = st.sampled_from([1, 16, 57, 4096])
rings = st.sampled_from([None, KeyRing(KEY)])


def plain(pieces: list[Piece]) -> bytes:
    written = b"".join(piece.head + piece.body + piece.tail for piece in pieces)
    return written + b"-- Backproof: %d members\n" % (len(pieces) + 1)


@given(dumps, frame_sizes, rings)
def test_unsealing_gives_back_any_bytes_that_were_sealed(pieces: list[Piece], frame: int, ring: KeyRing | None) -> None:
    archive = make(pieces, ring, frame_bytes=frame)
    assert b"".join(archive.reader().plain()) == plain(pieces)


@given(dumps, frame_sizes, rings, st.randoms(use_true_random=False))
def test_members_read_alone_and_in_any_order_are_the_same(
    pieces: list[Piece], frame: int, ring: KeyRing | None, order: random.Random
) -> None:
    archive = make(pieces, ring, frame_bytes=frame)
    reader = archive.reader()
    members = list(enumerate(archive.manifest.members))
    order.shuffle(members)
    found = {index: reader.read(member) for index, member in members}
    assert b"".join(found[index] for index in sorted(found)) == plain(pieces)


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=6), rings)
def test_the_stream_and_a_table_s_digest_do_not_depend_on_the_cut(
    body: bytes, cuts: list[int], ring: KeyRing | None
) -> None:
    bounds = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [Piece("data", "t", ("a",), 0, b"", body[one:next_], b"") for one, next_ in pairwise(bounds)]
    archive = make(pieces, ring, frame_bytes=64)
    assert b"".join(archive.reader().plain()).startswith(body)
    (table,) = archive.manifest.tables
    assert table.sha256 == hashlib.sha256(body).hexdigest()
    assert table.row_bytes == len(body)


def test_pieces_of_several_tables_may_alternate() -> None:
    tables = {table.name: table for table in make(SHOP).manifest.tables}
    assert tables["public.users"].sha256 == hashlib.sha256(b"anna\nbert\ncarla\n").hexdigest()
    assert tables["public.users"].rows == 3
    assert tables["public.orders"].sha256 == hashlib.sha256(b"1\n2\n3\n").hexdigest()


def test_the_same_pieces_give_the_same_gzip_stream() -> None:
    one, other = make(SHOP, KeyRing(KEY)), make(SHOP, KeyRing(KEY))
    assert list(one.reader().gzip()) == list(other.reader().gzip())
    assert one.manifest.members == other.manifest.members
    assert one.stored != other.stored


@pytest.mark.parametrize("ring", [None, KeyRing(KEY)])
def test_gzip_itself_reads_the_decrypted_stream(ring: KeyRing | None) -> None:
    archive = make([*SHOP, sql("finish", os.urandom(3_000_000))], ring)
    stream = b"".join(archive.reader().gzip())
    unpacked = subprocess.run(["gzip", "-dc"], input=stream, capture_output=True, check=True)
    assert unpacked.stdout == b"".join(archive.reader().plain())
    assert unpacked.stderr == b""
    assert gzip.decompress(stream) == unpacked.stdout


def test_every_member_is_one_gzip_member_without_time_or_name() -> None:
    archive = make(SHOP)
    for member in archive.manifest.members:
        packed = archive.stored[member.offset :][: member.length]
        unpacker = zlib.decompressobj(31)
        unpacker.decompress(packed)
        assert unpacker.eof
        assert unpacker.unused_data == b""
        assert packed[3:8] == bytes(5)


def test_one_member_costs_its_own_bytes_and_at_most_a_frame_at_each_end() -> None:
    archive = make(
        [rows_of("t", os.urandom(5000).replace(b"\n", b"")) for _ in range(20)], KeyRing(KEY), frame_bytes=512
    )
    source = ranges(archive.stored)
    member = archive.manifest.members[10]
    reader = archive.reader()
    reader._read_range = source
    reader.read(member)
    asked = sum(length or 0 for _, length in source.asked[1:])
    assert asked <= (member.length / 512 + 2) * (512 + 32)


def test_neighbours_do_not_fetch_the_same_frame_again() -> None:
    archive = make([rows_of(f"t{index}", b"x\n") for index in range(200)], KeyRing(KEY), frame_bytes=4096)
    source = ranges(archive.stored)
    reader = archive.reader()
    reader._read_range = source
    for member in archive.manifest.members:
        reader.read(member)
    frames = archive.manifest.gzip_bytes // 4096 + 1
    assert len(source.asked) <= frames + 1


@pytest.mark.parametrize("ring", [None, KeyRing(KEY)], ids=["plain", "encrypted"])
def test_members_that_lie_together_are_read_by_one_request(ring: KeyRing | None) -> None:
    archive = make([rows_of("t", b"%d\n" % index * 90) for index in range(30)], ring, frame_bytes=64)
    source = ranges(archive.stored)
    reader = archive.reader()
    reader._read_range = source
    members = archive.manifest.members
    reader.read(members[0])
    source.asked.clear()
    assert list(reader.read_run(members[3:20])) == [archive.reader().read(member) for member in members[3:20]]
    assert len(source.asked) == 1
    for none in ([], [members[4], members[3]], [members[3], members[5]]):
        with pytest.raises(ValueError, match="one after the other"):
            reader.read_run(none)


def test_of_a_run_what_comes_before_a_damaged_member_is_read() -> None:
    archive = make([rows_of("t", b"%d\n" % index) for index in range(9)], None)
    stored = bytearray(archive.stored)
    stored[archive.manifest.members[5].offset + 12] ^= 1
    texts = archive.reader(bytes(stored)).read_run(archive.manifest.members)
    assert len([next(texts) for _ in range(5)]) == 5
    with pytest.raises(Damaged):
        next(texts)


def test_many_threads_read_members_at_once() -> None:
    pieces = [rows_of("t", b"%d\n" % index * 100) for index in range(300)]
    archive = make(pieces, KeyRing(KEY), frame_bytes=1000)
    reader = archive.reader()
    with ThreadPoolExecutor(8) as pool:
        found = b"".join(pool.map(reader.read, archive.manifest.members))
    assert found == plain(pieces)


def test_leaving_early_stops_the_threads_and_the_dump() -> None:
    closed = threading.Event()

    def pieces() -> Iterator[Piece]:
        try:
            while True:
                yield rows_of("t", os.urandom(200_000))
        finally:
            closed.set()

    writer = ArchiveWriter(KeyRing(KEY), CONTEXT, workers=2)
    dump = pieces()  # held here, so that it is not closed by being forgotten
    stream = writer.write(dump)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pack")]
    with pytest.raises(ValueError, match="end"):
        writer.contents  # noqa: B018


def test_a_dump_that_breaks_off_is_passed_on_and_stops_the_threads() -> None:
    def pieces() -> Iterator[Piece]:
        yield from SHOP
        raise ConnectionLost("the server went away")

    writer = ArchiveWriter(KeyRing(KEY), CONTEXT, workers=2)
    with pytest.raises(ConnectionLost):
        list(writer.write(pieces()))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pack")]
    with pytest.raises(ValueError, match="end"):
        writer.contents  # noqa: B018


def test_a_table_whose_columns_change_on_the_way_is_no_backup() -> None:
    pieces = [rows_of("t", b"1\n", ("a",)), rows_of("t", b"1\t2\n", ("a", "b"))]
    with pytest.raises(DumpFailed, match="two column lists"):
        make(pieces)


def test_a_writer_writes_one_archive() -> None:
    writer = ArchiveWriter(KeyRing(KEY), CONTEXT)
    list(writer.write(SHOP))
    with pytest.raises(ValueError, match="one archive"):
        list(writer.write(SHOP))


def test_chunks_are_about_a_mebibyte_whatever_the_pieces() -> None:
    large = [sql("schema", os.urandom(9_000_000)), *(sql("schema", os.urandom(1000)) for _ in range(3000))]
    for ring in (None, KeyRing(KEY)):
        sizes = [len(chunk) for chunk in ArchiveWriter(ring, CONTEXT).write(large)]
        assert all(1 << 20 <= size < 2 << 20 for size in sizes[:-1])


def peak_bytes(pieces: Iterator[Piece], workers: int) -> int:
    tracemalloc.start()
    try:
        for _ in ArchiveWriter(KeyRing(KEY), CONTEXT, workers).write(pieces):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("workers", [1, 4])
def test_memory_does_not_grow_with_the_database(workers: int) -> None:
    mebibyte = os.urandom(1 << 20)
    pieces = (rows_of("t", mebibyte + b"%d\n" % index) for index in range(300))
    # text, its gzip, and what is on its way out, of every piece that may be held
    assert peak_bytes(pieces, workers) < (workers + 4) * 3 * len(mebibyte) < 30 * len(mebibyte)


def test_many_threads_do_not_hold_many_large_pieces() -> None:
    assert peak_bytes((rows_of("t", os.urandom(8 << 20)) for _ in range(40)), workers=64) < 160 << 20
