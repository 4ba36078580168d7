"""Are two servers one? Shown by a lock that is held on the one and seen on the other; a name or a port shows little."""

import secrets

from psycopg2.extensions import connection as Connection

from backproof.engines.postgresql.connect import connected
from backproof.engines.postgresql.database import on_server
from backproof.records import Manifest, Target

_BITS = 31
_ALLOWED = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"


def same_server(one: Target, other: Target) -> bool:
    """The contract is ``Engine.same_server``."""
    numbers = [secrets.randbits(_BITS), secrets.randbits(_BITS)]
    # In a transaction: a pool between us and the server gives no session of our own.
    with connected(one, autocommit=False) as held, held.cursor() as holder:
        holder.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s, %s)", numbers)
        with on_server(other) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s"
                " AND objsubid = 2 AND granted",
                numbers,
            )
            if cursor.rowcount:
                return True
        # Whoever is backed up from a standby has its primary as live server, too.
        identifier, is_standby = _identity(held)
    return is_standby and identifier is not None and _identifier(other) == identifier


def is_home(target: Target, manifest: Manifest) -> bool:
    """The contract is ``Engine.is_home``."""
    recorded = manifest.database.server.get("system_identifier")
    return recorded is not None and _identifier(target) == recorded


def _identifier(target: Target) -> str | None:
    with on_server(target) as connection:
        return _identity(connection)[0]


def _identity(connection: Connection) -> tuple[str | None, bool]:
    """Of its cluster, which standbys and copies of the files share, None where it may not be read; and a standby's."""
    with connection.cursor() as cursor:
        cursor.execute(_ALLOWED)
        identifier = None
        if cursor.fetchone() == (True,):
            cursor.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
            ((identifier,),) = cursor.fetchall()
        cursor.execute("SELECT pg_catalog.pg_is_in_recovery()")
        return identifier, cursor.fetchone() == (True,)
