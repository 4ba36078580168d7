"""What the catalogue says a dump must hold, how many rows each table has, and what each table stands on.

Read at the dump's consistent point and on its connection. Keys are those of ``text.key``: a dump that silently lacks
one of these objects, or one row, is an error and no backup.
"""
# ruff: noqa: S608 - the SQL is put together from texts of this module; values travel as parameters

from collections.abc import Iterator

from backproof.engines.postgresql.needs import needs
from backproof.engines.postgresql.point import USER_RELATION, Point
from backproof.engines.postgresql.text import LARGE_OBJECTS, key
from backproof.records import Inventory

_CHUNK = 200
"""How many tables are counted by one query."""

_GROUP = 1000
"""How many large objects of one owner pg_dump puts into one group at most, from 17 on."""

# A table's content is dumped where it has storage of its own; a partitioned table's lies in its partitions. A standby
# has none of an unlogged table.
_COUNTED = f"""
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
           coalesce((SELECT e.extcondition[array_position(e.extconfig, c.oid)] FROM pg_catalog.pg_extension e
                     WHERE c.oid = ANY (e.extconfig) LIMIT 1), '')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {USER_RELATION} AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery()) ORDER BY 1
"""

_GROUPS = f"""
    SELECT min(oid)::bigint, max(oid)::bigint, count(*) FROM (
        SELECT oid, lomowner, lomacl::text AS acl,
               (row_number() OVER (PARTITION BY lomowner, lomacl::text ORDER BY oid) - 1) / {_GROUP} AS batch
        FROM pg_catalog.pg_largeobject_metadata) o
    GROUP BY lomowner, acl, batch
"""


def take(point: Point) -> Inventory:
    """Objects, exact row counts, and what tables need."""
    return Inventory(rows=_rows(point) | _large_objects(point), objects=tuple(_objects(point)), needs=needs(point))


def _rows(point: Point) -> dict[str, int]:
    tables = point.rows(_COUNTED)
    found: dict[str, int] = {}
    for start in range(0, len(tables), _CHUNK):
        chunk = tables[start : start + _CHUNK]
        # Of an extension's own tables pg_dump takes the rows that the extension calls the user's.
        counts = ", ".join(f"(SELECT count(*) FROM ONLY {name} {condition})" for name, condition in chunk)
        # An array, for a row has room for 1,664 columns only.
        ((numbers,),) = point.rows(f"SELECT ARRAY[{counts}]")
        found |= dict(zip((point.spell(name) for name, _ in chunk), numbers, strict=True))
    return found


def _large_objects(point: Point) -> dict[str, int]:
    """The pseudo tables of ``pieces``, grouped as pg_dump groups them."""
    groups = point.rows(_GROUPS)
    if point.tool_major < 17:
        total = sum(count for _, _, count in groups)
        return {LARGE_OBJECTS: total} if total else {}
    return {f"{LARGE_OBJECTS} {first}" + (f"..{last}" if count > 1 else ""): count for first, last, count in groups}


def _objects(point: Point) -> Iterator[str]:
    superuser = point.rows("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user") == [(True,)]
    for kind, schema, tag, owner in point.rows(_OBJECTS):
        # Others may not read what it connects with: pg_dump leaves them out, and ``not_carried`` says so.
        if kind != "SUBSCRIPTION" or superuser:
            yield key(kind, point.spell(schema), point.spell(tag), point.spell(owner))


# Headers hold names on one line: pg_dump writes a blank for a line end.
_NAMED = """
    SELECT kind, translate(schema, E'\\n\\r', '  '), translate(tag, E'\\n\\r', '  '), translate(owner, E'\\n\\r', '  ')
    FROM objects
"""

_OBJECTS = (
    """
WITH extended AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass),
namespace AS MATERIALIZED (
    SELECT oid, nspname::text AS name FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
relation AS MATERIALIZED (
    SELECT c.oid, c.relname::text AS name, n.name AS schema, c.relkind, c.relrowsecurity, c.relpersistence
    FROM pg_class c JOIN namespace n ON n.oid = c.relnamespace
    WHERE ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM extended)),
configured AS MATERIALIZED (
    SELECT c.oid, c.relname::text AS name, n.name AS schema FROM pg_class c JOIN namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig))),
routine AS MATERIALIZED (
    SELECT p.oid, n.name AS schema, p.prokind, p.proname::text || '('
        || CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN '*' ELSE coalesce((
            SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i)
            FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, i)), '') END || ')' AS tag
    FROM pg_proc p JOIN namespace n ON n.oid = p.pronamespace
    WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM extended)
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')),
objects (kind, schema, tag, owner) AS (
    SELECT 'SCHEMA', '-', name, '' FROM namespace
    WHERE name <> 'public' AND ('pg_namespace'::regclass, oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
        WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, schema, name, ''
    FROM relation WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL
    SELECT 'SEQUENCE SET', schema, name, '' FROM relation WHERE relkind = 'S'
    UNION ALL
    SELECT 'SEQUENCE SET', schema, name, '' FROM configured
    UNION ALL
    SELECT 'ROW SECURITY', schema, name, '' FROM relation WHERE relrowsecurity
    UNION ALL
    SELECT 'INDEX', i.schema, i.name, '' FROM relation i JOIN pg_index x ON x.indexrelid = i.oid
    JOIN relation t ON t.oid = x.indrelid AND t.relkind IN ('r', 'p', 'm')
    WHERE (x.indisvalid OR t.relkind = 'p')
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT CASE contype WHEN 'f' THEN 'FK CONSTRAINT' ELSE 'CONSTRAINT' END, t.schema, t.name || ' ' || conname, ''
    FROM pg_constraint k JOIN relation t ON t.oid = k.conrelid
    WHERE contype IN ('p', 'u', 'x') OR (contype = 'f' AND conparentid = 0)
    UNION ALL
    SELECT 'TRIGGER', t.schema, t.name || ' ' || tgname, '' FROM pg_trigger g JOIN relation t ON t.oid = g.tgrelid
    WHERE NOT tgisinternal AND tgparentid = 0
    UNION ALL
    SELECT 'RULE', t.schema, t.name || ' ' || rulename, '' FROM pg_rewrite r JOIN relation t ON t.oid = r.ev_class
    WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT 'POLICY', t.schema, t.name || ' ' || polname, '' FROM pg_policy p JOIN relation t ON t.oid = p.polrelid
    UNION ALL
    SELECT 'STATISTICS', n.name, stxname, '' FROM pg_statistic_ext s JOIN namespace n ON n.oid = s.stxnamespace
    JOIN relation t ON t.oid = s.stxrelid
    UNION ALL
    SELECT CASE prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, schema, tag, ''
    FROM routine
    UNION ALL
    SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.name, t.typname, ''
    FROM pg_type t JOIN namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typtype IN ('d', 'e', 'r', 'c', 'b') AND t.typisdefined AND (t.typrelid = 0 OR c.relkind = 'c')
      AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
      AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'COLLATION', n.name, collname, '' FROM pg_collation o JOIN namespace n ON n.oid = o.collnamespace
    WHERE ('pg_collation'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'CONVERSION', n.name, conname, '' FROM pg_conversion o JOIN namespace n ON n.oid = o.connamespace
    WHERE ('pg_conversion'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'OPERATOR', n.name, oprname, '' FROM pg_operator o JOIN namespace n ON n.oid = o.oprnamespace
    WHERE oprcode <> 0 AND ('pg_operator'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'OPERATOR CLASS', n.name, opcname, '' FROM pg_opclass o JOIN namespace n ON n.oid = o.opcnamespace
    WHERE ('pg_opclass'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'TEXT SEARCH CONFIGURATION', n.name, cfgname, ''
    FROM pg_ts_config o JOIN namespace n ON n.oid = o.cfgnamespace
    WHERE ('pg_ts_config'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'TEXT SEARCH DICTIONARY', n.name, dictname, '' FROM pg_ts_dict o JOIN namespace n ON n.oid = o.dictnamespace
    WHERE ('pg_ts_dict'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'EXTENSION', '-', extname, '' FROM pg_extension WHERE oid >= 16384
    UNION ALL
    SELECT 'EVENT TRIGGER', '-', evtname, '' FROM pg_event_trigger o
    WHERE ('pg_event_trigger'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'PUBLICATION', '-', pubname, '' FROM pg_publication o
    UNION ALL
    SELECT 'PUBLICATION TABLE', t.schema, p.pubname || ' ' || t.name, '' FROM pg_publication_rel r
    JOIN pg_publication p ON p.oid = r.prpubid JOIN relation t ON t.oid = r.prrelid
    UNION ALL
    SELECT 'PUBLICATION TABLES IN SCHEMA', s.nspname, p.pubname || ' ' || s.nspname, '' FROM pg_publication_namespace r
    JOIN pg_publication p ON p.oid = r.pnpubid JOIN pg_namespace s ON s.oid = r.pnnspid
    UNION ALL
    SELECT 'SUBSCRIPTION', '-', subname, '' FROM pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT 'FOREIGN DATA WRAPPER', '-', fdwname, '' FROM pg_foreign_data_wrapper o
    WHERE ('pg_foreign_data_wrapper'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'SERVER', '-', srvname, '' FROM pg_foreign_server o
    WHERE ('pg_foreign_server'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'ACCESS METHOD', '-', amname, '' FROM pg_am o
    WHERE o.oid >= 16384 AND ('pg_am'::regclass, o.oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'DEFAULT ACL', coalesce(nspname, '-'), 'DEFAULT PRIVILEGES FOR ' || CASE defaclobjtype
        WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
        WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END, pg_get_userbyid(defaclrole)
    FROM pg_default_acl LEFT JOIN pg_namespace s ON s.oid = defaclnamespace
)
"""
    + _NAMED
)
