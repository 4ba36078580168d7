"""Drawing from several dump streams at once."""

import threading
from collections.abc import Iterator

import pytest

from backproof.engines import Piece
from backproof.errors import DumpFailed
from backproof.operations.streams import interleave


def piece(table: str, number: int) -> Piece:
    return Piece("data", table, ("n",), 1, b"", str(number).encode(), b"")


def stream(table: str, count: int) -> Iterator[Piece]:
    for number in range(count):
        yield piece(table, number)


def test_every_piece_arrives_and_those_of_a_stream_in_order() -> None:
    arrived = list(interleave([stream("a", 50), stream("b", 3), stream("c", 0)]))
    assert len(arrived) == 53
    for table, count in (("a", 50), ("b", 3)):
        bodies = [int(item.body) for item in arrived if item.table == table]
        assert bodies == list(range(count))


def test_the_error_of_any_stream_is_raised_and_the_others_end() -> None:
    closed = threading.Event()

    def endless() -> Iterator[Piece]:
        try:
            while True:
                yield piece("a", 0)
        finally:
            closed.set()

    def failing() -> Iterator[Piece]:
        yield piece("b", 0)
        raise DumpFailed("pg_dump ended with 1")

    with pytest.raises(DumpFailed):
        list(interleave([endless(), failing()]))
    assert closed.wait(5)


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    drawn = interleave([stream("a", 10_000), stream("b", 10_000)])
    next(drawn)
    drawn.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
