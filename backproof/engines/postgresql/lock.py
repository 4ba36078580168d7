"""One writer per plan: an advisory lock that dies with the connection that holds it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from backproof.engines.postgresql.connect import connected, without_timeouts
from backproof.errors import Busy
from backproof.records import Target


@contextmanager
def lock(target: Target, plan: str) -> Iterator[None]:
    """Hold the plan's lock for the length of the context. It needs no right beyond CONNECT.

    Raises:
        Busy: somebody else holds it.
        ConnectionLost, AccessDenied, NotFound: the database can't be reached.
    """
    # signed 64 bits, as pg_advisory_lock takes it
    number = int.from_bytes(hashlib.sha256(f"backproof plan {plan}".encode()).digest()[:8], "big", signed=True)
    with connected(target, application_name=f"backproof lock {plan}"[:63]) as connection:
        without_timeouts(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [number])
            if cursor.fetchone() != (True,):
                raise Busy(
                    f"another run holds the lock of plan {plan}", "Wait for it to end; one run writes a plan at a time."
                )
        yield
