"""What keeps a live schema from being exchanged, or would not follow it: found without changing anything."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import database, moving, privileges
from backproof.engines.mysql.binaries import flavour_of, series
from backproof.engines.mysql.code import broken_views
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.grants import ACCOUNTS, beside_pattern
from backproof.engines.mysql.names import pattern, quote_account, quote_ident, spell
from backproof.engines.mysql.sight import answers, probe
from backproof.records import Obstacle, Target

ATOMIC = (10, 6)
"""Since this MariaDB a statement that renames many tables is undone as a whole by a crash."""

_IN_SCHEMA = (
    *("SELECT", "INSERT", "CREATE", "DROP", "ALTER", "SHOW VIEW", "CREATE VIEW", "TRIGGER", "EVENT"),
    *("CREATE ROUTINE", "ALTER ROUTINE", "LOCK TABLES"),
)

_LINKS = """
    SELECT DISTINCT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME
    FROM information_schema.REFERENTIAL_CONSTRAINTS
    WHERE (CONSTRAINT_SCHEMA = %s) <> (UNIQUE_CONSTRAINT_SCHEMA = %s) ORDER BY 1, 2, 3
"""
_NAMING = """
    SELECT 'VIEW', TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS
    WHERE TABLE_SCHEMA <> %s AND LOCATE(%s, VIEW_DEFINITION) > 0
    UNION ALL SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES
    WHERE ROUTINE_SCHEMA NOT IN (%s, 'sys', 'mysql') AND ROUTINE_DEFINITION REGEXP %s
    UNION ALL SELECT 'EVENT', EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS
    WHERE EVENT_SCHEMA <> %s AND EVENT_DEFINITION REGEXP %s
    UNION ALL SELECT 'TRIGGER', TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS
    WHERE TRIGGER_SCHEMA NOT IN (%s, 'sys') AND ACTION_STATEMENT REGEXP %s
"""
_DEFINERS = """
    SELECT DISTINCT DEFINER FROM (
        SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s
        UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
        UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
        UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
    ) d WHERE DEFINER <> CURRENT_USER()
"""


def obstacles(target: Target) -> list[Obstacle]:
    """What is in the way. The contract is ``Engine.obstacles``.

    Raises:
        ConnectionLost, AccessDenied: the server can't be asked.
    """
    with connected(target, database=False) as connection:
        checks: tuple[Callable[[Connection[pymysql.cursors.Cursor], Target], Iterator[Obstacle]], ...] = (
            _version,
            _read_only,
            _replication,
            _cluster,
            _prepared,
            _rights,
            _unopenable,
            _broken,
            _links,
            _named_elsewhere,
        )
        if not database.is_there(connection, target.database):
            checks = (_rights,)  # an account without them does not even see that it is there
        return [obstacle for check in checks for obstacle in check(connection, target)]


def _version(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    ((version,),) = rows(connection, "SELECT VERSION()")
    if flavour_of(str(version)) != "mariadb" or series(str(version)) < ATOMIC:
        yield Obstacle(
            kind="version",
            name=str(version).split("-")[0],
            what="A crash amidst a rename of many tables would leave some of them here and some there.",
            remedy="Recover in place, or on MariaDB 10.6 or later.",
            acceptable=False,
        )


def _read_only(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    if rows(connection, "SELECT @@global.read_only") not in ([(0,)], [("OFF",)]):
        yield Obstacle(
            kind="read_only",
            name="read_only",
            what="The server takes no writes from applications: it may be a replica, or kept still by somebody.",
            remedy="Recover on the primary; or, where this is one, SET GLOBAL read_only = 0.",
            acceptable=False,
        )


def _replication(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    with suppress(pymysql.Error), connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW ALL SLAVES STATUS")
        for each in cursor.fetchall():
            yield Obstacle(
                kind="replication",
                name=str(each.get("Master_Host")),
                what="This server is a replica of it: what is exchanged here is not there, and replication ends.",
                remedy="Recover on the source; or, where this server has taken its place, RESET REPLICA ALL.",
                acceptable=False,
            )
    for user, host in rows(
        connection,
        "SELECT USER, HOST FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%' ORDER BY 2",
    ):
        yield Obstacle(
            kind="replica",
            name=str(host).rsplit(":", 1)[0],
            what=f"It replicates from this server as {user} and carries out the same exchange, after its delay.",
            remedy="Stop it beforehand if it is to keep the present state; see that it filters no schema of these.",
            acceptable=True,
        )


def _cluster(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    for name, value in rows(connection, "SHOW GLOBAL VARIABLES LIKE 'wsrep\\_on'"):
        if value in ("ON", "1"):
            yield Obstacle(
                kind="cluster",
                name=name,
                what="The server is one of a Galera cluster, on which an exchange has never been tried.",
                remedy="Recover in place, or try it on a copy of the cluster.",
                acceptable=True,
            )


def _prepared(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    for _, global_length, _, data in rows(connection, "XA RECOVER"):
        text = data if isinstance(data, str) else bytes(data).decode("latin-1")
        yield Obstacle(
            kind="prepared transaction",
            name=text[:global_length],
            what="It keeps the tables that it wrote to; which these are, the server does not tell.",
            remedy="XA COMMIT or XA ROLLBACK it; accept it where it is another schema's.",
            acceptable=True,
        )


def _rights(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    schema = target.database
    held = privileges.held(connection, schema)
    ((current, logging, trusting),) = rows(
        connection, "SELECT CURRENT_USER(), @@global.log_bin, @@global.log_bin_trust_function_creators"
    )
    user, _, host = str(current).rpartition("@")

    def missing(right: str, what: str, place: str = "*.*") -> Obstacle:
        lacking = f"{right} ON {place}"
        remedy = f"GRANT {lacking} TO {quote_account(user, host)};"
        return Obstacle(kind="privilege", name=lacking, what=what, remedy=remedy, acceptable=False)

    beside = privileges.held(connection, f"{schema}_recovered")
    for place, mine in ((pattern(schema), held), (beside_pattern(schema), beside)):
        if lacking := [right for right in _IN_SCHEMA if right not in mine]:
            what = f"{current} may not do all that moving {schema} takes, there and beside it."
            yield missing(", ".join(lacking), what, f"{place}.*")
    if "SUPER" not in held:
        if "CONNECTION ADMIN" not in held or "PROCESS" not in held:
            yield missing("PROCESS, CONNECTION ADMIN", f"{current} may neither see nor end the sessions of others.")
        if "SET USER" not in held and rows(connection, _DEFINERS, [schema] * 4):
            yield missing("SET USER", f"{current} may not create what runs in the name of others.")
        if logging and not trusting:
            yield missing("SUPER", "With a binary log, none else may create triggers and functions.")
    for right in (*ACCOUNTS["mariadb"], "SELECT ON `mysql`.`proc`"):
        if not answers(connection, probe(right)):
            words, _, place = right.partition(" ON ")
            yield missing(words, f"{current} may not see the code that is moved, and who has rights on it.", place)


def _unopenable(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    schema = target.database
    for name, why in moving.unopenable(connection, schema, moving.tables(connection, schema)):
        yield Obstacle(
            kind="table",
            name=spell(name),
            what=f"The server can't open it, and so can't move it aside: {why.rstrip('.')}.",
            remedy="Repair it. Where nobody can, keep a copy of the server's files, then DROP DATABASE"
            f" {quote_ident(schema)}, which the server does even so: the recovery then makes it anew.",
            acceptable=False,
        )


def _broken(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    for name in broken_views(connection, target.database):
        yield Obstacle(
            kind="view",
            name=spell(name),
            what="It stands on what is gone, so nobody can make it again: it is not kept.",
            remedy="Repair it, or drop it; or accept it, since it can't be read in any case.",
            acceptable=True,
        )


def _links(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    for schema, table, name, parent_schema, parent in rows(connection, _LINKS, [target.database] * 2):
        beyond = schema != target.database
        yield Obstacle(
            kind="foreign key",
            name=f"{spell(schema)}.{spell(table)} {spell(name)}",
            what=f"It goes on pointing to {spell(parent)}, which is set aside, and not to the one that takes its place."
            if beyond
            else f"It goes along: what is set aside goes on holding rows of {spell(parent_schema)}.{spell(parent)}.",
            remedy="Drop it before, and make it anew afterwards."
            if beyond
            else "Accept it, or drop it; discard what is set aside soon.",
            acceptable=not beyond,
        )


def _named_elsewhere(connection: "Connection[pymysql.cursors.Cursor]", target: Target) -> Iterator[Obstacle]:
    schema = target.database
    word = "(^|[^0-9A-Za-z_$])`?" + _escaped(schema) + "`?[[:space:]]*[.]"
    given = [schema, f"{quote_ident(schema)}.", schema, word, schema, word, schema, word]
    for kind, where, name in rows(connection, _NAMING, given):
        yield Obstacle(
            kind=str(kind).lower(),
            name=f"{spell(where)}.{spell(name)}",
            what=f"It names {schema}, and finds there what takes its place.",
            remedy="See that it fits the restored tables.",
            acceptable=True,
        )


def _escaped(name: str) -> str:
    """As a part of a pattern."""
    return re.sub(r"([^\w])", r"\\\1", name)
