"""The server of a database: its version, and the room on its disk where that can be seen."""

from psycopg2.extensions import cursor as Cursor

from backproof.engines import Host
from backproof.engines.postgresql.database import on_server
from backproof.hosts import free_bytes
from backproof.records import Manifest, Target

_KEEPS_LOGS = (
    "SELECT current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_catalog.pg_replication_slots),"
    " pg_catalog.pg_size_bytes(current_setting('max_wal_size'))"
)


def host(target: Target, manifest: Manifest) -> Host:
    """The contract is ``Engine.host``."""
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute(_KEEPS_LOGS)
        ((kept, limit),) = cursor.fetchall()
        copied = manifest.database.live_bytes
        return Host(
            version=f"PostgreSQL {_setting(cursor, 'server_version').split()[0]}",
            series=(connection.server_version // 10000,),
            series_of_backup=(int(manifest.database.server_version.split(".")[0]),),
            free_bytes=free_bytes(target.host, _folder(cursor)),
            log_bytes=copied if kept else min(copied, int(limit)),
        )


def _folder(cursor: Cursor) -> str | None:
    """Where its databases lie; whom it is told is its administrator's choice."""
    cursor.execute("SELECT pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')")
    return _setting(cursor, "data_directory") if cursor.fetchall() == [(True,)] else None


def _setting(cursor: Cursor, name: str) -> str:
    cursor.execute("SELECT pg_catalog.current_setting(%s)", [name])
    return str(cursor.fetchall()[0][0])
