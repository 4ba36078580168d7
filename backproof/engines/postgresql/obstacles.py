"""What of a live database keeps it from being replaced, or would be lost with it."""

from collections.abc import Iterator

from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.database import on_server
from backproof.records import Obstacle, Target

_RIGHTS = """
    SELECT me.rolsuper, me.rolcreatedb, pg_catalog.pg_has_role(d.datdba, 'MEMBER'),
           pg_catalog.pg_has_role('pg_signal_backend', 'MEMBER'), pg_catalog.pg_get_userbyid(d.datdba)::text
    FROM pg_catalog.pg_database d, pg_catalog.pg_roles me WHERE d.datname = %s AND me.rolname = current_user
"""


def obstacles(target: Target) -> list[Obstacle]:
    """What stands in the way. The contract is ``Engine.obstacles``."""
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [target.database])
        if not cursor.rowcount:
            return []
        return [
            *_standby(cursor),
            *_rights(cursor, target),
            *_prepared(cursor, target),
            *_subscriptions(cursor, target),
            *_slots(cursor, target),
        ]


def _standby(cursor: Cursor) -> Iterator[Obstacle]:
    cursor.execute("SELECT pg_catalog.pg_is_in_recovery()")
    if cursor.fetchall() == [(True,)]:
        yield Obstacle(
            kind="standby",
            name="the server",
            what="It follows another server and can't be written.",
            remedy="Name the primary in the plan's database, or promote this server first.",
            acceptable=False,
        )


def _rights(cursor: Cursor, target: Target) -> Iterator[Obstacle]:
    cursor.execute(_RIGHTS, [target.database])
    ((superuser, may_create, owns, may_signal, owner),) = cursor.fetchall()
    wanted = {"CREATEDB": may_create, f"membership in {owner}": owns, "membership in pg_signal_backend": may_signal}
    for name, granted in wanted.items():
        if not (superuser or granted):
            yield Obstacle(
                kind="privilege",
                name=name,
                what=f"{target.user} lacks it, and so can't rename {target.database} or end the sessions on it.",
                remedy="Grant it, or name another admin for the database in fleet.yaml.",
                acceptable=False,
            )


def _prepared(cursor: Cursor, target: Target) -> Iterator[Obstacle]:
    cursor.execute("SELECT gid, owner::text FROM pg_catalog.pg_prepared_xacts WHERE database = %s", [target.database])
    for gid, owner in cursor.fetchall():
        yield Obstacle(
            kind="prepared transaction",
            name=gid,
            what=f"It is {owner}'s, and no database that holds one can be renamed.",
            remedy="Find out what it is of; then COMMIT PREPARED or ROLLBACK PREPARED it.",
            acceptable=False,
        )


def _subscriptions(cursor: Cursor, target: Target) -> Iterator[Obstacle]:
    cursor.execute(
        "SELECT s.subname::text FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = %s ORDER BY 1",
        [target.database],
    )
    for (name,) in cursor.fetchall():
        yield Obstacle(
            kind="subscription",
            name=name,
            what="It stays with the database that is set aside; the recovered one gets it disabled and without a slot.",
            remedy="Accept it by its name, and set the recovered one up anew.",
            acceptable=True,
        )


def _slots(cursor: Cursor, target: Target) -> Iterator[Obstacle]:
    cursor.execute(
        "SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE database = %s ORDER BY 1", [target.database]
    )
    for (name,) in cursor.fetchall():
        yield Obstacle(
            kind="replication slot",
            name=name,
            what="It stays with the database that is set aside, and is gone when that is discarded.",
            remedy="Accept it by its name, and have its readers begin anew with the recovered database.",
            acceptable=True,
        )
