"""One writer per plan: an advisory lock that dies with the connection that holds it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection as Connection

from backproof.engines.postgresql.connect import connected, without_timeouts
from backproof.engines.postgresql.database import on_server
from backproof.errors import Busy
from backproof.records import Target


@contextmanager
def lock(target: Target, plan: str) -> Iterator[None]:
    """Hold the plan's lock for the length of the context. It needs no right beyond CONNECT.

    Raises:
        Busy: somebody else holds it.
        ConnectionLost, AccessDenied, NotFound: the database can't be reached.
    """
    taken = f"another run holds the lock of plan {plan}"
    remedy = "Wait for it to end; one run writes a plan at a time."
    application_name = _shortened(f"backproof lock {plan}")
    with (
        connected(target, application_name=application_name) as connection,
        _held(connection, f"backproof plan {plan}", taken, remedy),
    ):
        yield


@contextmanager
def recovery_lock(target: Target, plan: str) -> Iterator[None]:
    """Hold the lock of a plan's recovery, outside the database, which may be missing or change its name.

    Raises:
        Busy: somebody else holds it.
        ConnectionLost, AccessDenied: the server can't be reached.
    """
    name = f"backproof recovery {target.database} {plan}"
    taken = f"another process is at a recovery of plan {plan}"
    remedy = "Wait for it to end, or end it, and then resume its recovery."
    application_name = _shortened(f"backproof recovery {plan}")
    with (
        on_server(target, application_name=application_name) as connection,
        _held(connection, name, taken, remedy),
    ):
        yield


@contextmanager
def _held(connection: Connection, name: str, taken: str, remedy: str) -> Iterator[None]:
    # signed 64 bits, as pg_advisory_lock takes it
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    without_timeouts(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [number])
        if cursor.fetchone() != (True,):
            raise Busy(taken, remedy)
    try:
        yield
    finally:
        # A busy server sees late that a connection has ended; one that is lost gives it back by that.
        with suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [number])


def _shortened(application_name: str) -> str:
    """As the server would shorten it, but without a notice."""
    return application_name[:63]
