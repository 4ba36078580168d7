"""Data members over several connections: which may go side by side, and loading them, the next being read meanwhile."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from backproof.parallel.sessions import Sessions
from backproof.records import Member

C = TypeVar("C")
T = TypeVar("T")

HELD_BYTES = 24 * 1024 * 1024
"""Gzip bytes read ahead, over all connections. Each request to S3 costs as much processor time as some MiB that it
brings, and a far store's delay on top: members that lie one after the other are read by one."""

SMALL_BYTES = 1024 * 1024
"""Of rows: a table that takes no time worth planning for."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Members that one connection loads in order."""

    members: tuple[Member, ...]
    in_order: bool = False
    """Whether the rows must lie in the table as they lie here."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A member, whether its lane is kept in order, and whether that begins or ends with it."""

    member: Member
    in_order: bool = False
    begins: bool = False
    ends: bool = False


def lanes(
    members: Iterable[Member],
    sizes: Mapping[str, int],
    in_order: Callable[[str], bool],
    apart: Callable[[str], bool] = lambda _: False,
) -> list[Lane]:
    """Divide the data members into lanes, those of the biggest tables first.

    Args:
        members: of the data section, in file order.
        sizes: table name to its row bytes.
        in_order: whether a table's rows are to lie in the order of the archive: one connection loads it whole.
        apart: whether members under that name go with those of no table.

    Returns:
        Lanes that may be loaded side by side. What belongs to no table stays in one lane, in order.
    """
    serial: list[Member] = []
    by_table: dict[str, list[Member]] = {}
    for member in members:
        if member.table is None or apart(member.table):
            serial.append(member)
        else:
            by_table.setdefault(member.table, []).append(member)
    found = [Lane(tuple(serial))] if serial else []
    for table in biggest_first(by_table, {table: sizes.get(table, 0) for table in by_table}):
        whole = in_order(table)
        found += [Lane(tuple(by_table[table]), True)] if whole else [Lane((member,)) for member in by_table[table]]
    return found


def biggest_first(tables: Mapping[T, Sequence[Member]], sizes: Mapping[T, int]) -> list[T]:
    """The tables in the order in which to begin them; small ones as they lie, so that many are read at once."""
    return sorted(tables, key=lambda table: (-(sizes[table] // SMALL_BYTES), tables[table][0].offset))


def load(
    sessions: Sessions[C],
    read_run: Callable[[Sequence[Member]], Iterator[bytes]],
    work: Iterable[Lane],
    jobs: int,
    take: Callable[[C, Turn, bytes], None],
    progress: Callable[[int], None],
) -> None:
    """Load all lanes over ``jobs`` connections, each with the next member unpacked and the next run read ahead.

    Args:
        read_run: the plain SQL of members that lie one after the other, from any thread.
        take: gives one member's text to the server, on a connection.
        progress: told the plain bytes of each member that was taken.
    """
    queue = _Queue(work, jobs)
    # For each connection one that reads a run, and one that unpacks a member of the run before. Apart, since what a
    # thread frees is kept for that thread.
    readers = ThreadPoolExecutor(jobs, thread_name_prefix="read")
    unpackers = ThreadPoolExecutor(jobs, thread_name_prefix="unpack")

    def worker(connection: C) -> None:
        for turn, plain in _texts(queue, read_run, readers, unpackers):
            sessions.check()
            take(connection, turn, plain)
            progress(turn.member.plain_bytes)
            del plain  # not three at a time: one that is loaded, one that is unpacked

    try:
        sessions.together([worker] * jobs)
    finally:
        # After an error nobody wants what a slow store may still be sending.
        for pool in (unpackers, readers):
            pool.shutdown(wait=not sessions.stopped.is_set(), cancel_futures=True)


def _texts(
    queue: "_Queue",
    read_run: Callable[[Sequence[Member]], Iterator[bytes]],
    readers: ThreadPoolExecutor,
    unpackers: ThreadPoolExecutor,
) -> Iterator[tuple[Turn, bytes]]:
    """One worker's turns, each with its text."""

    def reading(run: list[Turn]) -> Future[Iterator[bytes]]:
        return readers.submit(read_run, [turn.member for turn in run])

    if not (run := queue.next()):
        return
    unpacked = unpackers.submit(_first, texts := reading(run))
    while run:
        following = queue.next()
        coming = reading(following) if following else None
        for turn in run:
            plain = unpacked.result()
            if turn is not run[-1]:
                unpacked = unpackers.submit(_first, texts)
            elif coming is not None:
                unpacked = unpackers.submit(_first, texts := coming)
            yield turn, plain
            del plain
        run = following


def _first(texts: "Future[Iterator[bytes]]") -> bytes:
    return next(texts.result())


class _Queue:
    """Lanes waiting to be loaded, handed out in runs of members that lie one after the other.

    A worker that began a lane keeps it. Towards the end runs get shorter, so that all workers end together.
    """

    def __init__(self, work: Iterable[Lane], jobs: int) -> None:
        self._lanes = deque(deque(_turns(lane)) for lane in work if lane.members)
        self._left = sum(turn.member.length for lane in self._lanes for turn in lane)
        self._jobs = jobs
        self._lock = threading.Lock()
        self._mine: dict[int, deque[Turn]] = {}

    def next(self) -> list[Turn]:
        """What the calling worker is to load next; nothing at the end."""
        me, run = threading.get_ident(), list[Turn]()
        with self._lock:
            room = min(HELD_BYTES, self._left) // (2 * self._jobs)
            while (lane := self._mine.get(me) or self._first()) and (not run or _follows(run[-1], lane[0], room)):
                if not self._mine.get(me):
                    self._mine[me] = self._lanes.popleft()
                run.append(lane.popleft())
                room -= run[-1].member.length
                self._left -= run[-1].member.length
        return run

    def _first(self) -> "deque[Turn] | None":
        return self._lanes[0] if self._lanes else None


def _follows(last: Turn, coming: Turn, room: int) -> bool:
    return last.member.end == coming.member.offset and coming.member.length <= room


def _turns(lane: Lane) -> Iterable[Turn]:
    last = len(lane.members) - 1
    for number, member in enumerate(lane.members):
        yield Turn(member, lane.in_order, lane.in_order and number == 0, lane.in_order and number == last)
