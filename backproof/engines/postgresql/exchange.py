"""One database takes another's place: two renames in one transaction, and back.

Databases are known by their numbers, which no rename changes: how far an exchange came is read from the names that
those numbers have. Nobody may connect while it goes on; a death in between leaves both databases closed, and the next
call opens them. What lies beside a database and was changed since the backup (owner, privileges, settings, limit of
connections) is given to the one that comes in, so that whoever was let in still is.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import connected, quote_ident, translate
from backproof.engines.postgresql.database import give, on_server
from backproof.engines.postgresql.globals import read_globals
from backproof.engines.postgresql.point import Point
from backproof.errors import AlreadyExists, BackproofError, Busy, ConfigurationError, NotFound, Permanent
from backproof.records import Exchange, Place, Target

_ATTEMPTS = 6
"""The server itself waits 5 s for sessions to end, each time."""
_ENDED_SECONDS = 5
"""How long ended sessions may take to be gone."""
_NAME_BYTES = 63
_CARRIED = ("owner", "acl", "connection_limit", "comment", "security_labels", "settings", "role_settings")


def plan_exchange(target: Target, incoming: str, outgoing: str) -> Exchange:
    """What it takes. The contract is ``Engine.plan_exchange``."""
    for name in (incoming, outgoing):
        if len(name.encode()) > _NAME_BYTES:
            raise ConfigurationError(
                f"the name {name[:20]}… is longer than {_NAME_BYTES} bytes", "Choose a shorter one."
            )
    with on_server(target) as connection, connection.cursor() as cursor:
        numbers = _numbers(cursor, [target.database, incoming, outgoing])
    if incoming not in numbers:
        raise NotFound(f"there is no database {incoming}", "Restore into it first.")
    if outgoing in numbers:
        raise AlreadyExists(f"a database is called {outgoing} already", "Choose another name for what was live.")
    live = numbers.get(target.database)
    return Exchange(
        live=target.database,
        incoming=incoming,
        outgoing=outgoing,
        had_live=live is not None,
        facts={
            "live": live,
            "incoming": numbers[incoming],
            "globals": {} if live is None else _beside(target),
        },
    )


def exchange(target: Target, planned: Exchange) -> None:
    """Put it into its place. The contract is ``Engine.exchange``."""
    place = exchanged(target, planned)
    if place == "after":
        return
    names = _names(target, planned)
    if names["incoming"] == planned.live:
        _open(target, [name for name in names.values() if name is not None])
        return
    if names["incoming"] is None:
        raise _gone(planned)
    carried = planned.facts["globals"]
    if place == "before" and isinstance(carried, dict):
        with connected(target.to(planned.incoming)) as connection, connection.cursor() as cursor:
            list(give(cursor, planned.incoming, carried))
    away = [(planned.live, planned.outgoing)] if planned.had_live else []
    _rename(target, [*away, (planned.incoming, planned.live)])


def undo(target: Target, planned: Exchange) -> None:
    """Bring back what was live. The contract is ``Engine.undo``.

    Raises:
        NotFound: the database that was live is gone.
    """
    place = exchanged(target, planned)
    if place == "before":
        return
    names = _names(target, planned)
    if names["incoming"] in (planned.incoming, None):
        _open(target, [name for name in names.values() if name is not None])
        return
    if planned.had_live and names["live"] is None:
        raise NotFound(
            f"the database that was live, {planned.outgoing}, is gone", "Recover the safety backup in its place."
        )
    back = [(planned.outgoing, planned.live)] if planned.had_live else []
    _rename(target, [(planned.live, planned.incoming), *back])


def exchanged(target: Target, planned: Exchange) -> Place:
    """How far it came. The contract is ``Engine.exchanged``.

    Raises:
        NotFound, Permanent: a database of it is gone, or has a name that nobody of us gave it.
    """
    names = _names(target, planned)
    came_in = names["incoming"]
    closed = _closed(target, [name for name in names.values() if name is not None])
    if came_in == planned.live and names["live"] in (None, planned.outgoing):
        return "between" if closed else "after"
    if came_in in (planned.incoming, None) and names["live"] == (planned.live if planned.had_live else None):
        return "between" if closed else "before"
    if came_in is None:
        raise _gone(planned)
    raise Permanent(
        f"the databases are called {came_in} and {names['live']}, which no step of this recovery calls them",
        f"Somebody renamed one: give them the names {planned.incoming} and {planned.live}, or the other way round.",
    )


def _gone(planned: Exchange) -> NotFound:
    return NotFound(f"the restored database {planned.incoming} is gone", "Begin another recovery.")


def _numbers(cursor: Cursor, names: Sequence[str]) -> dict[str, int]:
    cursor.execute(
        "SELECT datname::text, oid::bigint FROM pg_catalog.pg_database WHERE datname = ANY (%s)", [list(names)]
    )
    return dict(cursor.fetchall())


def _names(target: Target, planned: Exchange) -> dict[str, str | None]:
    """What the two databases are called now; None: there is none (any more)."""
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT oid::bigint, datname::text FROM pg_catalog.pg_database")
        called = dict(cursor.fetchall())
    numbers = {which: planned.facts[which] for which in ("live", "incoming")}
    return {which: called.get(number) if isinstance(number, int) else None for which, number in numbers.items()}


def _closed(target: Target, names: Sequence[str]) -> bool:
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_catalog.pg_database WHERE datname = ANY (%s) AND NOT datallowconn", [list(names)]
        )
        return bool(cursor.rowcount)


def _beside(target: Target) -> dict[str, Any]:
    """What lies beside the live database, as it is now."""
    with connected(target, autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT")
        found = read_globals(Point(connection, "", datetime.now(UTC), {}))
    return {name: found[name] for name in _CARRIED}


def _rename(target: Target, pairs: Sequence[tuple[str, str]]) -> None:
    """All of them or none. What was closed meanwhile is open again, whatever happens, while the server answers."""
    refused: BackproofError | None = None
    with on_server(target, application_name="backproof exchange") as connection:
        for _ in range(_ATTEMPTS):
            try:
                with _closed_to_all(connection, [old for old, _ in pairs]):
                    _renamed(connection, pairs)
            except psycopg2.Error as error:
                refused = translate(error)
                if not isinstance(refused, Busy):
                    raise refused from None
            else:
                return
    raise Busy(
        f"the databases could not be renamed: {refused.fact if refused else ''}",
        "End what still uses them (a prepared transaction, a session of a superuser), then go on.",
    )


@contextmanager
def _closed_to_all(connection: Connection, names: Sequence[str]) -> Iterator[None]:
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"ALTER DATABASE {quote_ident(name)} ALLOW_CONNECTIONS false")
        try:
            _end_sessions(cursor, names)
            yield
        except BaseException:
            with suppress(psycopg2.Error):
                for name in names:
                    cursor.execute(f"ALTER DATABASE {quote_ident(name)} ALLOW_CONNECTIONS true")
            raise


def _end_sessions(cursor: Cursor, names: Sequence[str]) -> None:
    until = time.monotonic() + _ENDED_SECONDS
    while True:
        cursor.execute(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            " WHERE datname = ANY (%s) AND pid <> pg_catalog.pg_backend_pid()",
            [list(names)],
        )
        if not cursor.rowcount or time.monotonic() > until:
            return  # the server says who is left when it refuses the rename
        time.sleep(0.01)


def _renamed(connection: Connection, pairs: Sequence[tuple[str, str]]) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute("BEGIN")
            for old, new in pairs:
                cursor.execute(f"ALTER DATABASE {quote_ident(old)} RENAME TO {quote_ident(new)}")
            for _, new in pairs:
                cursor.execute(f"ALTER DATABASE {quote_ident(new)} ALLOW_CONNECTIONS true")
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(psycopg2.Error):
                cursor.execute("ROLLBACK")
            raise


def _open(target: Target, names: Sequence[str]) -> None:
    with on_server(target) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"ALTER DATABASE {quote_ident(name)} ALLOW_CONNECTIONS true")
