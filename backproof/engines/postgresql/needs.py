"""What a table's definition stands on: the entries that must be restored to restore that table alone."""

from backproof.engines.postgresql.point import Point
from backproof.engines.postgresql.text import key

# From a table the walk goes to all that belongs to it (defaults, checks, indexes, triggers, policies, rules,
# statistics, owned sequences), but not over its foreign keys; from there, as PostgreSQL recorded what depends on what.
_NEEDS = """
WITH RECURSIVE
relation AS MATERIALIZED (
    SELECT c.oid, c.relname::text AS name, n.nspname::text AS schema, c.relkind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
edge AS MATERIALIZED (
    SELECT classid, objid, refclassid, refobjid FROM pg_depend d
    WHERE deptype IN ('n', 'a', 'i', 'e', 'P', 'S') AND refobjid >= 2200
      AND NOT EXISTS (SELECT FROM pg_constraint k
                      WHERE d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contype = 'f')
    UNION SELECT 'pg_class'::regclass, adrelid, 'pg_attrdef'::regclass, oid FROM pg_attrdef
    UNION SELECT 'pg_class'::regclass, conrelid, 'pg_constraint'::regclass, oid FROM pg_constraint
          WHERE conrelid <> 0 AND contype <> 'f'
    UNION SELECT 'pg_type'::regclass, contypid, 'pg_constraint'::regclass, oid FROM pg_constraint WHERE contypid <> 0
    UNION SELECT 'pg_class'::regclass, ev_class, 'pg_rewrite'::regclass, r.oid
          FROM pg_rewrite r JOIN relation c ON c.oid = ev_class WHERE c.relkind IN ('v', 'm')
    UNION SELECT 'pg_type'::regclass, t.oid, 'pg_class'::regclass, t.typrelid FROM pg_type t WHERE t.typrelid <> 0
    UNION SELECT 'pg_type'::regclass, t.oid, 'pg_type'::regclass, t.typelem FROM pg_type t WHERE t.typelem >= 16384
    UNION SELECT 'pg_type'::regclass, m.rngmultitypid, 'pg_type'::regclass, m.rngtypid FROM pg_range m
          WHERE m.rngmultitypid >= 16384),
start AS (
    SELECT oid AS root, 'pg_class'::regclass::oid AS class, oid AS object FROM relation WHERE relkind IN ('r', 'p')
    UNION SELECT indrelid, 'pg_class'::regclass, indexrelid FROM pg_index
    UNION SELECT tgrelid, 'pg_trigger'::regclass, oid FROM pg_trigger WHERE NOT tgisinternal
    UNION SELECT polrelid, 'pg_policy'::regclass, oid FROM pg_policy
    UNION SELECT ev_class, 'pg_rewrite'::regclass, oid FROM pg_rewrite
    UNION SELECT stxrelid, 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
    UNION SELECT refobjid, 'pg_class'::regclass, objid FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
          WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            AND s.relkind = 'S'),
walk (root, class, object) AS (
    SELECT s.root, s.class, s.object FROM start s JOIN relation r ON r.oid = s.root AND r.relkind IN ('r', 'p')
    UNION
    SELECT w.root, e.refclassid, e.refobjid FROM walk w JOIN edge e ON e.classid = w.class AND e.objid = w.object),
named (class, object, kind, schema, tag) AS (
    SELECT 'pg_class'::regclass::oid, oid, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, schema, name
    FROM relation WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL SELECT 'pg_class'::regclass, oid, 'TYPE', schema, name FROM relation WHERE relkind = 'c'
    UNION ALL SELECT 'pg_type'::regclass, t.oid, CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, nspname, typname
        FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
        WHERE typtype IN ('d', 'e', 'r', 'b') AND typelem = 0
    UNION ALL SELECT 'pg_proc'::regclass, p.oid,
        CASE prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, nspname,
        proname || '(' || CASE WHEN prokind = 'a' AND pronargs = 0 THEN '*' ELSE coalesce((
            SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i)
            FROM unnest(proargtypes) WITH ORDINALITY AS a(t, i)), '') END || ')'
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    UNION ALL SELECT 'pg_namespace'::regclass, oid, 'SCHEMA', '-', nspname FROM pg_namespace
    UNION ALL SELECT 'pg_extension'::regclass, oid, 'EXTENSION', '-', extname FROM pg_extension
    UNION ALL SELECT 'pg_collation'::regclass, o.oid, 'COLLATION', nspname, collname
        FROM pg_collation o JOIN pg_namespace n ON n.oid = collnamespace
    UNION ALL SELECT 'pg_operator'::regclass, o.oid, 'OPERATOR', nspname, oprname
        FROM pg_operator o JOIN pg_namespace n ON n.oid = oprnamespace
    UNION ALL SELECT 'pg_opclass'::regclass, o.oid, 'OPERATOR CLASS', nspname, opcname
        FROM pg_opclass o JOIN pg_namespace n ON n.oid = opcnamespace
    UNION ALL SELECT 'pg_opfamily'::regclass, o.oid, 'OPERATOR FAMILY', nspname, opfname
        FROM pg_opfamily o JOIN pg_namespace n ON n.oid = opfnamespace
    UNION ALL SELECT 'pg_ts_config'::regclass, o.oid, 'TEXT SEARCH CONFIGURATION', nspname, cfgname
        FROM pg_ts_config o JOIN pg_namespace n ON n.oid = cfgnamespace
    UNION ALL SELECT 'pg_ts_dict'::regclass, o.oid, 'TEXT SEARCH DICTIONARY', nspname, dictname
        FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = dictnamespace
    UNION ALL SELECT 'pg_language'::regclass, oid, 'PROCEDURAL LANGUAGE', '-', lanname FROM pg_language
    UNION ALL SELECT 'pg_am'::regclass, oid, 'ACCESS METHOD', '-', amname FROM pg_am
    UNION ALL SELECT 'pg_cast'::regclass, oid, 'CAST', '-',
        'CAST (' || format_type(castsource, NULL) || ' AS ' || format_type(casttarget, NULL) || ')' FROM pg_cast)
SELECT format('%I.%I', r.schema, r.name), translate(n.kind, E'\\n\\r', '  '), translate(n.schema, E'\\n\\r', '  '),
       translate(n.tag, E'\\n\\r', '  ')
FROM walk w JOIN relation r ON r.oid = w.root JOIN named n ON n.class = w.class AND n.object = w.object
WHERE n.object >= 16384 AND NOT (w.class = 'pg_class'::regclass AND w.object = w.root)
"""


def needs(point: Point) -> dict[str, tuple[str, ...]]:
    """Table name to the keys of the entries it stands on, sorted; of overloaded operators all, for they share a key."""
    found: dict[str, set[str]] = {}
    for table, kind, schema, tag in point.rows(_NEEDS):
        found.setdefault(point.spell(table), set()).add(key(kind, point.spell(schema), point.spell(tag)))
    return {table: tuple(sorted(keys)) for table, keys in found.items()}
