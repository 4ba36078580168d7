"""A server whose disk is full waits for somebody to make room, and says so to nobody but its own log.

So it does with its binary log, and with tables of MyISAM and Aria; InnoDB fails. What waits so is seen in the list of
sessions, and ends when it is killed.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import connected, own_sessions, rows
from backproof.errors import BackproofError, NoSpace
from backproof.records import Target

PATIENCE_SECONDS = 60.0
"""So long somebody may take to make room."""
LOOK_SECONDS = 5.0
_WAITS = "Waiting for someone to free space"


@contextmanager
def awaiting_room(target: Target) -> Iterator[None]:
    """End what this process has a target's server do, where the server waits for room for too long.

    Raises:
        NoSpace: in place of what then failed.
    """
    over, killed = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(target, over, killed), name="room", daemon=True)
    watch.start()
    try:
        yield
    except (BackproofError, pymysql.Error) as error:
        if not killed.is_set() or isinstance(error, NoSpace):
            raise
        raise NoSpace(
            f"the disk of {target.host} is full: the server has waited for room for {PATIENCE_SECONDS:.0f} seconds",
            "Make room on the database server's disk, where its binary log and its data lie.",
        ) from None
    finally:
        over.set()
        watch.join()


def _watch(target: Target, over: threading.Event, killed: threading.Event) -> None:
    since: dict[int, float] = {}
    while not over.wait(LOOK_SECONDS):
        with suppress(BackproofError), connected(target, database=False) as connection:
            while not over.wait(LOOK_SECONDS):
                _look(target, connection, since, killed)


def _look(
    target: Target,
    connection: "Connection[pymysql.cursors.Cursor]",
    since: dict[int, float],
    killed: threading.Event,
) -> None:
    now = time.monotonic()
    # Not of information_schema: that would make a table on the disk that is full.
    waiting = {int(row[0]) for row in rows(connection, "SHOW PROCESSLIST") if str(row[6] or "").startswith(_WAITS)}
    ours = waiting & own_sessions(target)
    for number in since.keys() - ours:
        del since[number]
    for number in ours:
        if now - since.setdefault(number, now) >= PATIENCE_SECONDS:
            killed.set()
            rows(connection, f"KILL {number}")
