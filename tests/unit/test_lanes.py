"""Members over several connections: what is read at once, and that each is taken once."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.parallel import lanes
from backproof.parallel.lanes import Lane, Turn, load
from backproof.parallel.sessions import Sessions
from backproof.records import Member


class Nowhere:
    """A driver of connections that are none."""

    def open(self) -> object:
        return object()

    def prepare(self, connection: object) -> None: ...

    def cancel(self, connection: object) -> None: ...

    def close(self, connection: object) -> None: ...


def members(tables: Sequence[str], lengths: Sequence[int]) -> list[Member]:
    made: list[Member] = []
    for table, length in zip(tables, lengths, strict=True):
        offset = made[-1].end if made else 100
        made.append(
            Member(section="data", table=table, rows=1, offset=offset, length=length, plain_bytes=length, sha256="")
        )
    return made


def loaded(work: Sequence[Lane], jobs: int) -> tuple[list[list[Member]], dict[int, list[Turn]]]:
    """The runs that were read, and what each connection took."""
    runs: list[list[Member]] = []
    taken: dict[int, list[Turn]] = {}
    lock = threading.Lock()

    def read_run(run: Sequence[Member]) -> Iterator[bytes]:
        with lock:
            runs.append(list(run))
        return (str(each.offset).encode() for each in run)

    def take(connection: Any, turn: Turn, plain: bytes) -> None:
        assert plain == str(turn.member.offset).encode()
        with lock:
            taken.setdefault(id(connection), []).append(turn)

    with Sessions(Nowhere()) as sessions:
        load(sessions, read_run, work, jobs, take, lambda _: None)
        return runs, taken


@settings(max_examples=60, deadline=None)
@given(
    tables=st.lists(st.sampled_from("abcd"), max_size=40),
    lengths=st.lists(st.integers(1, 4 << 20), min_size=40, max_size=40),
    jobs=st.integers(1, 4),
    keep_order=st.booleans(),
)
def test_every_member_is_taken_once_in_runs_that_lie_together(
    tables: list[str], lengths: list[int], jobs: int, keep_order: bool
) -> None:
    every = members(tables, lengths[: len(tables)])
    sizes = Counter[str]()
    for each in every:
        sizes[each.table or ""] += each.plain_bytes
    runs, taken = loaded(lanes.lanes(every, dict(sizes), lambda _: keep_order), jobs)
    turns = [turn.member for own in taken.values() for turn in own]
    assert sorted(turns, key=lambda each: each.offset) == every
    for run in runs:
        assert all(one.end == other.offset for one, other in pairwise(run))
        assert len(run) == 1 or sum(each.length for each in run) <= lanes.HELD_BYTES // (2 * jobs)
    if keep_order:
        for own in taken.values():
            for table in set(tables):
                offsets = [turn.member.offset for turn in own if turn.member.table == table]
                assert offsets == sorted(offsets)
                assert len(offsets) in (0, tables.count(table))


def test_a_big_table_is_read_in_long_runs_and_small_ones_together() -> None:
    big = ["big"] * 40
    every = members([*big, *(f"small{number}" for number in range(300))], [1 << 20] * 40 + [1000] * 300)
    sizes = dict.fromkeys((each.table or "" for each in every), 1000) | {"big": 40 << 20}
    runs, _ = loaded(lanes.lanes(every, sizes, lambda _: False), 1)
    assert [len(run) for run in runs[:2]] == [12, 12]
    assert len(runs) < 25


def test_towards_the_end_runs_are_short() -> None:
    every = members(["one"] * 8, [1000] * 8)
    runs, _ = loaded([Lane((each,)) for each in every], 2)
    assert sorted(len(run) for run in runs) == [1, 1, 1, 1, 1, 1, 2]
