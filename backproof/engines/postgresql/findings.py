"""Preflight of a PostgreSQL database: what would stand in a dump's way, found without touching anything.

Every check is asked as the role that will dump: the server itself says what that role may read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql import binaries, standby
from backproof.engines.postgresql.connect import connected, quote_ident, translate
from backproof.errors import BackproofError, MissingTool
from backproof.findings import failed, listed, missing, ok, warning
from backproof.records import Finding, Target

TESTED = range(15, 19)

LONG_TRANSACTION = "1 hour"

_DUMPED = """
    pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
                        AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
                        AND NOT c.oid = ANY (coalesce(e.extconfig, '{}')))
"""
"""Relations whose content a dump holds; of an extension's only those it calls configuration."""


def findings(target: Target, tool_folders: Sequence[Path] = ()) -> list[Finding]:
    """Every check of one database with its result and remedy; raises for nothing that it can report."""
    try:
        with connected(target, application_name="backproof preflight") as connection, connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '60s'; SET lock_timeout = '10s'; SET search_path = pg_catalog")
            return [*_server(cursor, target), *_programs(cursor, tool_folders), *_checks(cursor, target)]
    except BackproofError as error:
        return [failed("database", error)]


def _server(cursor: Cursor, target: Target) -> Iterator[Finding]:
    version, major, size = _row(
        cursor,
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,"
        " pg_database_size(current_database())",
    )
    found = f"{target}: PostgreSQL {version.split()[0]}, {size / 1e6:,.1f} MB"
    if major in TESTED:
        yield ok("database", found, live_bytes=size)
    else:
        found = f"{found}; tested are {TESTED[0]} to {TESTED[-1]}"
        yield warning("database", found, "Rely on proven backups only.", live_bytes=size)


def _programs(cursor: Cursor, tool_folders: Sequence[Path]) -> Iterator[Finding]:
    [major] = _row(cursor, "SELECT current_setting('server_version_num')::int / 10000")
    try:
        pg_dump = binaries.find("pg_dump", major, tool_folders)
        yield _dump_tool(next(each for each in binaries.folders(tool_folders) if each.bin == pg_dump.parent), major)
    except MissingTool as error:
        yield failed("pg_dump", error)
    try:
        postgres = binaries.find("postgres", major, tool_folders)
        yield ok("scratch server", str(postgres))
    except MissingTool as error:
        yield warning("scratch server", f"{error.fact}: no proof can run on a scratch server", error.remedy)


def _dump_tool(installation: binaries.Installation, major: int) -> Finding:
    found, hole = f"{installation.version} in {installation.bin}", binaries.hole(installation)
    if installation.major != major:
        found = f"{found}, newer than the server: its dumps hold settings that psql {major} refuses on an exported file"
        return warning("pg_dump", "; ".join([found, *filter(None, [hole])]), binaries.remedy("pg_dump", major))
    if hole:
        floor = binaries.SECURITY_FLOOR.get(major)
        safe = f"{major}.{floor}" if floor else f"{min(binaries.SECURITY_FLOOR)}"
        return warning(
            "pg_dump",
            f"{found}: {hole}",
            f"Update to {safe} or later. Backproof's own restore is not affected: it never runs psql.",
            f"pg_dump: {installation.version} will do; {safe} is safer for exports that psql restores",
        )
    return ok("pg_dump", found)


def _checks(cursor: Cursor, target: Target) -> Iterator[Finding]:
    checks: tuple[Callable[[Cursor, Target], Iterable[Finding]], ...] = (
        _readable,
        _row_level_security,
        _large_objects,
        _hidden,
        _locks,
        _transactions,
        standby.findings,
    )
    for check in checks:
        try:
            yield from check(cursor, target)
        except psycopg2.Error as error:
            yield failed(_name(check), translate(error))


def _readable(cursor: Cursor, target: Target) -> Iterator[Finding]:
    """Tables are locked and read, sequences are read; both take USAGE of the schema, too."""
    remedy = f"As a superuser: GRANT pg_read_all_data TO {quote_ident(target.user)};"
    closed = _names(
        cursor,
        f"SELECT DISTINCT quote_ident(n.nspname) FROM {_DUMPED}"  # noqa: S608 - text of this module
        " AND c.relkind IN ('r', 'p', 'S') AND NOT has_schema_privilege(n.oid, 'USAGE') ORDER BY 1",
    )
    if closed:
        yield missing("schemas", f"no USAGE on {listed(closed)}", remedy)
    for name, kinds in (("tables", "'r', 'p'"), ("sequences", "'S'")):
        relations = f"{_DUMPED} AND c.relkind IN ({kinds})"
        # Of sequences too: has_sequence_privilege fails when the planner asks it about another kind of relation first.
        refused = _names(
            cursor,
            f"SELECT format('%I.%I', n.nspname, c.relname) FROM {relations}"  # noqa: S608
            " AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1",
        )
        [count] = _row(cursor, f"SELECT count(*) FROM {relations}")  # noqa: S608
        yield (
            missing(name, f"no SELECT on {listed(refused)}", remedy) if refused else ok(name, f"{count}, all readable")
        )


def _row_level_security(cursor: Cursor, target: Target) -> Iterator[Finding]:
    names = _names(
        cursor,
        f"SELECT format('%I.%I', n.nspname, c.relname) FROM {_DUMPED}"  # noqa: S608
        " AND c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1",
    )
    if names:
        yield missing(
            "row-level security",
            f"policies hide rows of {listed(names)}",
            f"As a superuser: ALTER ROLE {quote_ident(target.user)} BYPASSRLS;",
        )


def _large_objects(cursor: Cursor, target: Target) -> Iterator[Finding]:
    count, refused = _row(
        cursor,
        """
        SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
            SELECT FROM aclexplode(coalesce(lomacl, acldefault('L', lomowner))) AS granted
            WHERE granted.privilege_type = 'SELECT' AND (granted.grantee = 0 OR pg_has_role(granted.grantee, 'USAGE'))))
        FROM pg_largeobject_metadata
        """,
    )
    [above] = _row(
        cursor,
        "SELECT rolsuper OR current_setting('lo_compat_privileges')::bool FROM pg_roles WHERE rolname = current_user",
    )
    if refused and not above:
        yield missing(
            "large objects",
            f"no SELECT on {refused} of {count}",
            "pg_read_all_data does not cover them: `backproof doctor PLAN --print-grants` prints the grants for each.",
        )
    elif count:
        yield ok("large objects", f"{count}, all readable")


def _hidden(cursor: Cursor, target: Target) -> Iterator[Finding]:
    """What pg_dump leaves out for a role that is no superuser, with a mere warning or with none."""
    [is_superuser] = _row(cursor, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if is_superuser:
        return
    [subscriptions] = _row(
        cursor,
        "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database()",
    )
    [mappings] = _row(cursor, "SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NULL")
    if subscriptions:
        found = f"{subscriptions} that only a superuser can dump: the backup lacks them"
        yield warning("subscriptions", found, "Keep their definitions elsewhere, or back up as a superuser.")
    if mappings:
        found = f"{mappings} whose options, if they have any, only a superuser can dump: the backup lacks those"
        yield warning("user mappings", found, "Keep them elsewhere, or back up as a superuser.")


def _locks(cursor: Cursor, target: Target) -> Iterator[Finding]:
    """A dump locks every table at once, twice: the holder of the snapshot and pg_dump."""
    [tables] = _row(cursor, f"SELECT count(*) FROM {_DUMPED} AND c.relkind IN ('r', 'p')")  # noqa: S608
    [room] = _row(
        cursor,
        "SELECT current_setting('max_locks_per_transaction')::int"
        " * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)",
    )
    if tables > room:
        yield warning(
            "lock table",
            f"{tables} tables to lock, and shared memory for about {room} locks",
            "If a dump fails with 'out of shared memory', raise max_locks_per_transaction and restart the server.",
        )


def _transactions(cursor: Cursor, target: Target) -> Iterator[Finding]:
    in_the_way = _names(
        cursor,
        f"SELECT format('%I.%I (pid %s)', n.nspname, c.relname, coalesce(l.pid::text, 'of a prepared transaction'))"  # noqa: S608
        f" FROM pg_locks l, {_DUMPED} AND l.relation = c.oid AND l.granted AND l.mode = 'AccessExclusiveLock'"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND c.relkind IN ('r', 'p') ORDER BY 1",
    )
    if in_the_way:
        yield warning(
            "locks", f"held exclusively: {listed(in_the_way)}", "The dump waits for them; end what holds them."
        )
    [everybodys] = _row(cursor, "SELECT pg_has_role('pg_read_all_stats', 'USAGE')")
    if not everybodys:
        found = "those of others can't be seen without pg_read_all_stats, which a dump does not need"
        yield ok("transactions", found)
    old = _names(
        cursor,
        f"SELECT format('pid %s of %s', pid, usename) FROM pg_stat_activity WHERE datname = current_database()"  # noqa: S608
        f" AND xact_start < now() - interval '{LONG_TRANSACTION}' ORDER BY xact_start",
    )
    if old:
        yield warning(
            "transactions", f"open for over {LONG_TRANSACTION}: {listed(old)}", "See whether they are forgotten."
        )
    prepared = _names(
        cursor, "SELECT quote_literal(gid) FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"
    )
    if prepared:
        yield warning(
            "prepared transactions",
            f"{listed(prepared)}; not part of a dump until committed, and their locks stay",
            "COMMIT PREPARED or ROLLBACK PREPARED what is forgotten.",
        )


def _name(check: Callable[..., object]) -> str:
    return "replica" if check is standby.findings else check.__name__.strip("_").replace("_", " ")


def _row(cursor: Cursor, query: str) -> tuple[Any, ...]:
    cursor.execute(query)
    row = cursor.fetchone()
    if row is None:
        raise psycopg2.DataError("the server returned no row")
    return row


def _names(cursor: Cursor, query: str) -> list[str]:
    cursor.execute(query)
    return [name for [name] in cursor.fetchall()]
