"""Preflight of a MySQL or MariaDB schema: what would stand in a dump's way, found without touching anything.

Every check is asked as the account that will dump: the server itself says what it may see. Those about rights are in
``sight``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pymysql

from backproof.engines.mysql import binaries, events, locks, sight
from backproof.engines.mysql.connect import connected, rows, translate
from backproof.engines.mysql.names import spell
from backproof.engines.mysql.patience import NUDGE_SECONDS
from backproof.engines.mysql.sight import Asked
from backproof.errors import BackproofError, MissingTool
from backproof.findings import failed, listed, missing, ok, warning
from backproof.records import Finding, Target

TESTED = ("mariadb", (10, 11))

LONG_TRANSACTION_HOURS = 1

BEHIND_SECONDS = 300

_REPLICATION = {"mariadb": ("SHOW ALL SLAVES STATUS",), "mysql": ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")}


def findings(target: Target, tool_folders: Sequence[Path] = ()) -> list[Finding]:
    """Every check of one schema with its result and remedy; raises for nothing that it can report."""
    try:
        with connected(target) as connection:
            connection.query("SET SESSION lock_wait_timeout = 10")
            asked = Asked(connection, target)
            return [_server(asked), *_programs(asked, tool_folders), *_checks(asked)]
    except BackproofError as error:
        return [failed("database", error)]


def _server(asked: Asked) -> Finding:
    title = {"mariadb": "MariaDB", "mysql": "MySQL"}[asked.flavour]
    size = asked.catalogue.live_bytes
    found = f"{asked.target}: {title} {asked.version.split('-')[0]}, {size / 1e6:,.1f} MB"
    if (asked.flavour, binaries.series(asked.version)) == TESTED:
        return ok("database", found, live_bytes=size)
    found = f"{found}; tested is MariaDB 10.11"
    return warning("database", found, "Rely on proven backups only.", live_bytes=size)


def _programs(asked: Asked, tool_folders: Sequence[Path]) -> Iterator[Finding]:
    flavour = asked.flavour
    try:
        yield _dump_tool(binaries.best("dump", flavour, asked.version, tool_folders), binaries.series(asked.version))
    except MissingTool as error:
        yield failed("dump tool", error)
    try:
        server = binaries.best("server", flavour, asked.version, tool_folders)
        yield ok("scratch server", f"{server.version}, {server.path}")
    except MissingTool as error:
        yield warning("scratch server", f"{error.fact}: no proof can run on a scratch server", error.remedy)


def _dump_tool(tool: binaries.Program, wanted: binaries.Series) -> Finding:
    found, hole = f"{tool.version} in {tool.path.parent}", binaries.hole(tool)
    if tool.series < wanted:
        found = f"{found}, older than the server: what is new there it may not know"
        return warning("dump tool", "; ".join([found, *filter(None, [hole])]), binaries.remedy("dump", tool.flavour))
    if hole:
        remedy = "Update it. Backproof's own restore is not affected: it never runs the client."
        return warning("dump tool", f"{found}: {hole}", remedy, f"dump tool: {tool.version}, {hole}")
    return ok("dump tool", found)


def _checks(asked: Asked) -> Iterator[Finding]:
    checks: tuple[Callable[[Asked], Iterable[Finding]], ...] = (
        sight.objects,
        sight.views,
        sight.routines,
        sight.one_moment,
        _without_transactions,
        _versioned,
        _parents_elsewhere,
        _events,
        sight.accounts,
        _packet,
        _pauses,
        _transactions,
        _replica,
    )
    for check in checks:
        try:
            yield from check(asked)
        except pymysql.Error as error:
            yield failed(check.__name__.strip("_").replace("_", " "), translate(error))


def _without_transactions(asked: Asked) -> Iterator[Finding]:
    tables = [facts for facts in asked.catalogue.tables.values() if not facts.transactional and facts.carried]
    elsewhere = [spell(facts.name) for facts in asked.catalogue.tables.values() if not facts.carried]
    named, size = listed([spell(facts.name) for facts in tables]), sum(facts.data_bytes for facts in tables)
    check = "tables without transactions"
    if tables and size > locks.LOCKED_BYTES:
        found = f"{named}: {size / 1e6:,.0f} MB, too much to lock; their rows are of the time at which each is read"
        yield warning(check, found, "Convert them to InnoDB.", f"{check}: {named}, not of the backup's one moment")
    elif tables and "LOCK TABLES" not in asked.held:
        yield warning(
            check,
            f"no LOCK TABLES right: rows of {named} are of the time at which each is read",
            asked.grant("LOCK TABLES"),
        )
    elif tables:
        yield ok(check, f"{named}: locked against writing while they are read, {size / 1e6:,.1f} MB")
    if elsewhere:
        found = f"{listed(elsewhere)}: their engine keeps the rows elsewhere, a dump holds none"
        yield warning("tables without rows of their own", found, "Back those rows up where they are.")


def _versioned(asked: Asked) -> Iterator[Finding]:
    names = [spell(facts.name) for facts in asked.catalogue.tables.values() if facts.versioned]
    if names:
        found = f"{listed(names)}: a dump holds the current rows, not their history"
        yield warning("system-versioned tables", found, "Keep the history by a physical backup, if it matters.")


def _parents_elsewhere(asked: Asked) -> Iterator[Finding]:
    found = rows(
        asked.connection,
        "SELECT DISTINCT TABLE_NAME, REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE"
        " WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_SCHEMA <> TABLE_SCHEMA ORDER BY 1, 2",
        [asked.target.database],
    )
    if found:
        pairs = listed([f"{spell(table)} to {spell(schema)}" for table, schema in found])
        yield warning(
            "foreign keys",
            f"{pairs}: a backup of this schema does not hold what these point at",
            "Back up the other schema too, and restore it beside this one.",
        )


def _events(asked: Asked) -> Iterator[Finding]:
    if names := events.endless(asked.connection, asked.target.database):
        yield missing("events", f"the dump tool never ends on {listed(names)}, which holds ;;", events.REMEDY)


def _packet(asked: Asked) -> Iterator[Finding]:
    """A byte of a BLOB is two of a statement; how long rows really are, nobody knows before they are read."""
    largest = int(asked.variable("max_allowed_packet") or 0)
    long = rows(
        asked.connection,
        "SELECT TABLE_NAME FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = %s AND AVG_ROW_LENGTH * 2 > %s ORDER BY 1",
        [asked.target.database, largest],
    )
    if long:
        found = f"{largest >> 20} MiB, which an average row of {listed([spell(name) for (name,) in long])} may exceed"
        yield warning("max_allowed_packet", found, "Raise it wherever the backup is to be restored.")
    else:
        yield ok("max_allowed_packet", f"{largest >> 20} MiB; the longest statement is known once it is dumped")


def _pauses(asked: Asked) -> Iterator[Finding]:
    """See ``patience``."""
    seconds = asked.variable("net_write_timeout")
    if seconds.isdigit() and int(seconds) < 2 * NUDGE_SECONDS:
        found = f"{seconds} seconds: a dump that a slow store keeps waiting is ended by the server"
        yield warning("net_write_timeout", found, "Set it to 60, which is the default, or more.")


def _transactions(asked: Asked) -> Iterator[Finding]:
    if "PROCESS" not in asked.held:
        yield ok("transactions", "those of others can't be seen without the PROCESS right, which a dump does not need")
        return
    old = rows(
        asked.connection,
        "SELECT concat(t.trx_mysql_thread_id, ' of ', coalesce(p.USER, '?')) FROM information_schema.INNODB_TRX t"
        " LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id"
        " WHERE t.trx_started < NOW() - INTERVAL %s HOUR ORDER BY t.trx_started",
        [LONG_TRANSACTION_HOURS],
    )
    if old:
        found = f"open for over {LONG_TRANSACTION_HOURS} hour: connection {listed([name for (name,) in old])}"
        yield warning("transactions", found, "See whether they are forgotten: the server keeps old rows for them.")


def _replica(asked: Asked) -> Iterator[Finding]:
    for statement in _REPLICATION[asked.flavour]:
        try:
            with asked.connection.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(statement)
                yield from map(_replicated, cursor.fetchall())
                return
        except pymysql.Error:
            continue  # no right to ask, or an older server has another word for it
    yield from _unseen_replica(asked)


def _unseen_replica(asked: Asked) -> Iterator[Finding]:
    """It could not be asked: a primary that was always one shows none of these signs."""
    if asked.variable("gtid_slave_pos") or asked.variable("read_only") not in ("", "OFF", "0"):
        right = "SLAVE MONITOR" if asked.flavour == "mariadb" else "REPLICATION CLIENT"
        found = f"this server looks like a replica; whether it is behind can't be seen without the {right} right"
        yield warning("replica", found, asked.grant(right, "*.*"))


def _replicated(status: dict[str, object]) -> Finding:
    behind = status.get("Seconds_Behind_Source", status.get("Seconds_Behind_Master"))
    source = status.get("Source_Host", status.get("Master_Host"))
    if behind is None:
        found = f"this server is a replica of {source}, and replication does not run: the backup would be of old data"
        return warning("replica", found, "Start replication, or back up the primary.")
    if int(str(behind)) > BEHIND_SECONDS:
        return warning("replica", f"{behind} seconds behind {source}", "Let it catch up, or back up the primary.")
    return ok("replica", f"of {source}, {behind} seconds behind")
