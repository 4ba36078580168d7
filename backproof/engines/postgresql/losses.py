"""What a plain dump of a database can't carry, said before anybody misses it.

Most of it pg_dump passes over without a word, and a dump of what was restored passes over it again: two dumps that are
equal say nothing of it. So the catalogue is asked.
"""
# ruff: noqa: S608 - the SQL is put together from texts of this module

from collections.abc import Iterator

from backproof.engines.postgresql.point import Point


def not_carried(point: Point) -> Iterator[str]:
    """What a plain dump of this database can't carry, a sentence each."""
    yield "Passwords of roles are not in a backup; roles are listed with their memberships, and created without login."
    for query, sentence in _LOSSES:
        ((count, example),) = point.rows(query)
        if count:
            yield sentence.format(count=count, example=example)


_OWN = "oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = {}.oid AND d.deptype IN ('e', 'i'))"

_IN_SYSTEM_SCHEMAS = " UNION ALL ".join(
    f"SELECT {name} AS name FROM {catalogue} WHERE {_OWN.format(catalogue)}"
    f" AND {namespace}::regnamespace::text IN ('pg_catalog', 'information_schema') {condition}"
    for catalogue, name, namespace, condition in (
        ("pg_class", "relname", "relnamespace", "AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')"),
        ("pg_proc", "proname", "pronamespace", ""),
        ("pg_type", "typname", "typnamespace", "AND typrelid = 0 AND typelem = 0"),
        ("pg_operator", "oprname", "oprnamespace", ""),
    )
)

# What an operator class brings into its family comes back with the class.
_IN_SYSTEM_FAMILIES = " UNION ALL ".join(
    f"SELECT opfname AS name FROM {catalogue} m JOIN pg_opfamily f ON f.oid = m.{family}"
    " WHERE m.oid >= 16384 AND f.oid < 16384 AND NOT EXISTS ("
    f"SELECT FROM pg_depend d WHERE d.classid = '{catalogue}'::regclass AND d.objid = m.oid AND d.deptype = 'i')"
    f" AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = m.{member} AND d.deptype = 'e')"
    for catalogue, family, member in (("pg_amop", "amopfamily", "amopopr"), ("pg_amproc", "amprocfamily", "amproc"))
)

_LOSSES = (
    (
        "SELECT count(*), min(c.relname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_depend d ON d.objid = c.oid"
        " AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e'"
        " JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass"
        " WHERE c.relkind = 'r' AND NOT c.oid = ANY (coalesce(e.extconfig, '{}')) "
        " AND pg_catalog.pg_relation_size(c.oid) > 0",
        "{count} tables (such as {example}) belong to extensions, which make them: their rows are not in the backup.",
    ),
    (
        "SELECT count(*), min(subname) FROM pg_catalog.pg_subscription, pg_catalog.pg_roles r"
        " WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        " AND r.rolname = current_user AND NOT r.rolsuper",
        "{count} subscriptions (such as {example}) are not in the backup: only a superuser may read them.",
    ),
    (
        "SELECT count(*), min(matviewname) FROM pg_catalog.pg_matviews WHERE ispopulated",
        "Rows of {count} materialised views (such as {example}) are computed anew at restore, not copied.",
    ),
    (
        "SELECT count(*), min(relname) FROM pg_catalog.pg_class c WHERE relkind = 'f'",
        "Rows of {count} foreign tables (such as {example}) lie on other servers and are not in the backup.",
    ),
    (
        "SELECT count(*), min(relname) FROM pg_catalog.pg_class WHERE relkind = 'r' AND relpersistence = 'u'"
        " AND pg_catalog.pg_is_in_recovery()",
        "Rows of {count} unlogged tables (such as {example}) are not in the backup: this server is a standby.",
    ),
    (
        "SELECT count(*), min(indexrelid::regclass::text) FROM pg_catalog.pg_index WHERE NOT indisvalid"
        " AND indexrelid >= 16384 AND EXISTS (SELECT FROM pg_class c WHERE c.oid = indexrelid AND c.relkind = 'i')",
        "{count} invalid indexes (such as {example}) are not in the backup: pg_dump leaves them out.",
    ),
    (
        "SELECT count(*), min(gid) FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()",
        "{count} prepared transactions (such as {example}) are not in the backup: they are not committed.",
    ),
    (
        "SELECT count(*), min(slot_name) FROM pg_catalog.pg_replication_slots"
        " WHERE database = pg_catalog.current_database()",
        "{count} logical replication slots (such as {example}) are not in the backup.",
    ),
    (
        "SELECT count(*), min(spcname) FROM pg_catalog.pg_tablespace t WHERE spcname !~ '^pg_'"
        " AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.reltablespace = t.oid)",
        "Locations of {count} tablespaces (such as {example}) are not in the backup: their names are.",
    ),
    (
        f"SELECT count(*), min(name) FROM ({_IN_SYSTEM_SCHEMAS}) o",
        "{count} objects (such as {example}) lie in the system's own schemas and are not in the backup: pg_dump leaves"
        " those out.",
    ),
    (
        f"SELECT count(*), min(name) FROM ({_IN_SYSTEM_FAMILIES}) o",
        "{count} operators and functions were added to operator families of the system (such as {example}) and are not"
        " in the backup: pg_dump leaves those families out.",
    ),
    (
        "SELECT count(*), min(oprname) FROM pg_catalog.pg_operator WHERE oprcode = 0 AND oid >= 16384",
        "{count} operators without a function (such as {example}) are not in the backup: pg_dump leaves them out.",
    ),
    (
        "SELECT count(*), min(k.conname) FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_constraint p"
        " ON p.oid = k.conparentid WHERE k.contype = 'f' AND k.conrelid <> p.conrelid AND k.conname <> p.conname",
        "{count} foreign keys of partitions (such as {example}) come back under the name that their parent's has.",
    ),
    (
        "SELECT count(*), min(k.conname) FROM pg_catalog.pg_constraint k WHERE k.contype = 'n' AND NOT k.conislocal"
        " AND NOT k.convalidated AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_constraint p"
        " ON p.conrelid = i.inhparent WHERE i.inhrelid = k.conrelid AND p.conname = k.conname)",
        "{count} inherited NOT NULL constraints that are not valid (such as {example}) come back under their parent's"
        " name.",
    ),
)
