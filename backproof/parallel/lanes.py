"""Data members over several connections: which may go side by side, and loading them with one read ahead of each."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from backproof.parallel.sessions import Sessions
from backproof.records import Member

C = TypeVar("C")


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
    members: Iterable[Member], sizes: dict[str, int], keep_order: bool, apart: Callable[[str], bool] = lambda _: False
) -> list[Lane]:
    """Divide the data members into lanes, those of the biggest tables first.

    Args:
        members: of the data section, in file order.
        sizes: table name to its row bytes.
        keep_order: whether a table's rows must lie in the order of the archive.
        apart: whether members under that name go with those of no table.

    Returns:
        Lanes that may be loaded side by side. What belongs to no table stays in one lane, in order.
    """
    by_table: dict[str | None, list[Member]] = {}
    for member in members:
        none = member.table is None or apart(member.table)
        by_table.setdefault(None if none else member.table, []).append(member)
    serial = by_table.pop(None, [])
    ordered = sorted(by_table.items(), key=lambda item: -sizes.get(item[0] or "", 0))
    if keep_order:
        found = [Lane(tuple(members), in_order=True) for _, members in ordered]
    else:
        found = [Lane((member,)) for _, members in ordered for member in members]
    return [Lane(tuple(serial)), *found] if serial else found


def load(
    sessions: Sessions[C],
    read: Callable[[Member], bytes],
    work: Iterable[Lane],
    jobs: int,
    take: Callable[[C, Turn, bytes], None],
    progress: Callable[[int], None],
) -> None:
    """Load all lanes over ``jobs`` connections, each reading one member ahead of the server.

    Args:
        read: one member's plain SQL, from any thread.
        take: gives one member's text to the server, on a connection.
        progress: told the plain bytes of each member that was taken.
    """
    queue = _Queue(work)
    readers = ThreadPoolExecutor(jobs, thread_name_prefix="read")

    def worker(connection: C) -> None:
        ahead: Future[bytes] | None = None
        current = queue.next(None)
        while current is not None:
            sessions.check()
            plain = (ahead or readers.submit(read, current.member)).result()
            following = queue.next(current)
            ahead = readers.submit(read, following.member) if following is not None else None
            take(connection, current, plain)
            progress(current.member.plain_bytes)
            current = following

    try:
        sessions.together([worker] * jobs)
    finally:
        # After an error nobody wants what a slow store may still be sending.
        readers.shutdown(wait=not sessions.stopped.is_set(), cancel_futures=True)


class _Queue:
    """Lanes waiting to be loaded; a worker that began a lane keeps it."""

    def __init__(self, work: Iterable[Lane]) -> None:
        self._lanes = deque(deque(_turns(lane)) for lane in work if lane.members)
        self._lock = threading.Lock()
        self._mine: dict[int, deque[Turn]] = {}

    def next(self, current: Turn | None) -> Turn | None:
        with self._lock:
            me = threading.get_ident()
            if current is None or not self._mine[me]:
                if not self._lanes:
                    return None
                self._mine[me] = self._lanes.popleft()
            return self._mine[me].popleft()


def _turns(lane: Lane) -> Iterable[Turn]:
    last = len(lane.members) - 1
    for number, member in enumerate(lane.members):
        yield Turn(member, lane.in_order, lane.in_order and number == 0, lane.in_order and number == last)
