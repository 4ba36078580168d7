"""Drawing from several dump streams at once."""

import threading
from collections.abc import Iterator
from itertools import groupby

import pytest

from backproof.engines import Piece
from backproof.errors import DumpFailed
from backproof.operations.streams import _Waiting, interleave


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


def test_pieces_of_a_stream_come_several_in_a_row() -> None:
    held = 2 * 5 * len(b"0")  # five pieces of each stream
    arrived = [item.table for item in interleave([stream("a", 10), stream("b", 10)], held_bytes=held)]
    runs = [len(list(run)) for _, run in groupby(arrived)]
    assert sum(runs) == 20
    # Whichever thread is first: one that holds all it may is drawn from for as much, unless another has to wait.
    assert len(runs) < 12


def test_a_stream_that_rests_holds_up_no_other() -> None:
    go_on = threading.Event()

    def resting() -> Iterator[Piece]:
        yield piece("a", 0)
        assert go_on.wait(60)
        yield piece("a", 1)

    drawn = interleave([resting(), stream("b", 1000)], held_bytes=8)
    others = sum(next(drawn).table == "b" for _ in range(900))
    assert others >= 899
    go_on.set()
    assert sum(item.table == "a" for item in drawn) == 2 - (900 - others)


def test_a_piece_longer_than_may_be_held_passes() -> None:
    long = Piece("data", "a", ("n",), 1, b"", bytes(100), b"")
    assert [len(item.body) for item in interleave([iter([long, long]), iter([long])], held_bytes=10)] == [100] * 3


def test_a_stream_that_stands_still_has_its_turn_where_hardly_anything_waits_of_the_current_one() -> None:
    waiting = _Waiting(2, 8)
    waiting.put(0, piece("a", 0))
    filling = threading.Thread(target=lambda: [waiting.put(1, piece("b", 0)) for _ in range(9)])
    filling.start()
    while not waiting._streams[1].full:
        threading.Event().wait(0.01)
    drawn = waiting.take()
    waiting.stop()
    filling.join()
    assert drawn is not None
    assert drawn.table == "b"
