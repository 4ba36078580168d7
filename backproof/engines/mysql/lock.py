"""One writer per plan: a named lock of the server that dies with the connection that holds it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import connected, rows
from backproof.errors import BackproofError, Busy
from backproof.records import Target

_ONE_YEAR = 31_536_000
"""A connection that is idle for ``wait_timeout`` would be ended, and its lock with it."""


@contextmanager
def lock(target: Target, plan: str) -> Iterator[None]:
    """Hold the plan's lock for the length of the context. It needs no right but to connect.

    Raises:
        Busy: somebody else holds it.
        ConnectionLost, AccessDenied, NotFound: the schema can't be reached.
    """
    # Names are the whole server's, of 64 characters at most, and letters of either case are the same.
    name = "backproof " + hashlib.sha256(f"{target.database}\0{plan}".encode()).hexdigest()[:48]
    taken = f"another run holds the lock of plan {plan}"
    remedy = "Wait for it to end; one run writes a plan at a time."
    with connected(target) as connection, _held(connection, name, taken, remedy):
        yield


@contextmanager
def recovery_lock(target: Target, plan: str) -> Iterator[None]:
    """Hold the lock of a plan's recovery, by a connection to no schema: it lasts while schemas come and go.

    Raises:
        Busy: somebody else holds it.
        ConnectionLost, AccessDenied: the server can't be reached.
    """
    name = "backproof recovery " + hashlib.sha256(f"{target.database}\0{plan}".encode()).hexdigest()[:40]
    taken, remedy = f"a recovery of plan {plan} is under way", "Wait for it to end, or resume it where it was left."
    with connected(target, database=False) as connection, _held(connection, name, taken, remedy):
        yield


@contextmanager
def _held(connection: "Connection[pymysql.cursors.Cursor]", name: str, taken: str, remedy: str) -> Iterator[None]:
    connection.query(f"SET SESSION wait_timeout = {_ONE_YEAR}")
    if rows(connection, "SELECT GET_LOCK(%s, 0)", [name]) != [(1,)]:
        raise Busy(taken, remedy)
    try:
        yield
    finally:
        # A busy server sees late that a connection has ended; one that is lost gives it back by that.
        with suppress(pymysql.Error, BackproofError):
            rows(connection, "SELECT RELEASE_LOCK(%s)", [name])
