"""What the system catalogues say of a database, without OIDs: a third opinion, which does not come from pg_dump.

Two dumps can be equal and both lack something. Each query returns one text a fact; the texts of the live and of the
restored database are held against each other.
"""
# ruff: noqa: E501 - SQL reads better unbroken

from collections import Counter

from backproof.records import Target
from tests.support.postgres_fixtures import execute

_IDENTIFIED = [
    "pg_class",
    "pg_proc",
    "pg_type",
    "pg_namespace",
    "pg_constraint",
    "pg_attrdef",
    "pg_trigger",
    "pg_rewrite",
    "pg_policy",
    "pg_cast",
    "pg_operator",
    "pg_opclass",
    "pg_opfamily",
    "pg_amop",
    "pg_amproc",
    "pg_collation",
    "pg_conversion",
    "pg_language",
    "pg_am",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_statistic_ext",
    "pg_extension",
    "pg_event_trigger",
    "pg_publication",
    "pg_publication_rel",
    "pg_publication_namespace",
    "pg_subscription",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_user_mapping",
    "pg_default_acl",
    "pg_transform",
]

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_RELATION = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"

QUERIES = {
    "object": " UNION ALL ".join(
        f"SELECT i.type || ' ' || regexp_replace(i.identity, '(_ConstraintTrigger_)[_ac0-9]+', '\\1') FROM {name} o, pg_identify_object('{name}'::regclass, o.oid, 0) i"
        " WHERE o.oid >= 16384 AND i.identity !~ '^(pg_toast|pg_temp)' AND i.identity !~ '_RETURN.* on '"
        for name in _IDENTIFIED
    ),
    "comment": """SELECT i.type || ' ' || i.identity || ': ' || description
        FROM pg_description, pg_identify_object(classoid, objoid, objsubid) i WHERE i.identity IS NOT NULL""",
    "label": """SELECT i.type || ' ' || i.identity || ': ' || label
        FROM pg_seclabel, pg_identify_object(classoid, objoid, objsubid) i""",
    "relation": f"""SELECT format('%s %s kind %s persistence %s access %s options %s identity %s rls %s %s owner %s acl %s of %s partition %s bound %s populated %s tablespace %s toast options %s',
          n.nspname, c.relname, c.relkind, c.relpersistence, (SELECT amname FROM pg_am a WHERE a.oid = c.relam), (SELECT array_agg(o ORDER BY o) FROM unnest(c.reloptions) o), c.relreplident,
          c.relrowsecurity, c.relforcerowsecurity, c.relowner::regrole, {{acl}}, c.reloftype::regtype, c.relispartition,
          pg_get_expr(c.relpartbound, c.oid), c.relispopulated, (SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace),
          (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid)) FROM {_RELATION} WHERE {_OURS}""".replace(
        "{acl}",
        """(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) a)""",
    ),
    "inheritance": """SELECT format('%s inherits %s as %s detaching %s', inhrelid::regclass, inhparent::regclass, inhseqno, inhdetachpending)
        FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind IN ('r', 'p', 'f')""",
    "column": f"""SELECT format('%s.%s %s type %s notnull %s default %s identity %s generated %s collation %s storage %s compression %s stats %s options %s acl %s fdw %s local %s inherited %s missing %s',
          n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum),
          a.attidentity, a.attgenerated, a.attcollation::regcollation, a.attstorage, a.attcompression, coalesce(nullif(a.attstattarget, -1), -1), a.attoptions,
          (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(a.attacl) x), a.attfdwoptions, a.attislocal, a.attinhcount > 0, NULL)
        FROM pg_attribute a JOIN {_RELATION} ON c.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped AND {_OURS}""",
    "constraint": """SELECT format('%s %s on %s %s: %s valid %s deferrable %s %s noinherit %s', contype, CASE WHEN conislocal OR contype <> 'f' THEN conname END, conrelid::regclass, contypid::regtype,
          pg_get_constraintdef(oid), convalidated, condeferrable, condeferred, connoinherit AND contype NOT IN ('p', 'u', 'x')) FROM pg_constraint WHERE oid >= 16384""",
    "index": """SELECT format('%s: %s valid %s clustered %s identity %s stats %s', indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident,
          (SELECT array_agg(coalesce(attstattarget, -1) ORDER BY attnum) FROM pg_attribute WHERE attrelid = indexrelid)) FROM pg_index WHERE indexrelid >= 16384
          AND indrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = 't')""",
    "trigger": """SELECT format('%s %s enabled %s parent %s', tgrelid::regclass, pg_get_triggerdef(oid), tgenabled, tgparentid <> 0) FROM pg_trigger WHERE NOT tgisinternal""",
    "internal triggers": """SELECT format('%s %s %s', tgrelid::regclass, tgfoid::regproc, tgenabled) FROM pg_trigger WHERE tgisinternal""",
    "rule": """SELECT format('%s enabled %s', pg_get_ruledef(oid), ev_enabled) FROM pg_rewrite WHERE oid >= 16384""",
    "policy": """SELECT format('%s %s %s %s %s %s %s', polname, polrelid::regclass, polcmd, polpermissive, (SELECT array_agg(r::regrole::text ORDER BY r::regrole::text) FROM unnest(polroles) r), pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy""",
    "routine": """SELECT format('%s kind %s owner %s lang %s cost %s rows %s support %s secdef %s leakproof %s strict %s volatile %s parallel %s config %s acl %s bin %s src %s body %s defaults %s modes %s names %s returns %s set %s',
          p.oid::regprocedure, prokind, proowner::regrole, lanname, procost, prorows, prosupport, prosecdef, proleakproof, proisstrict, provolatile, proparallel, (SELECT array_agg(s ORDER BY s) FROM unnest(proconfig) s),
          (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(proacl, acldefault('f', proowner))) a), probin, md5(prosrc), md5(pg_get_function_sqlbody(p.oid)), pg_get_expr(proargdefaults, 0), proargmodes, proargnames, prorettype::regtype, proretset)
        FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE p.oid >= 16384""",
    "aggregate": """SELECT format('%s %s', aggfnoid::regprocedure, to_jsonb(a) - 'aggfnoid' - 'aggtransfn' - 'aggsortop' - 'aggtranstype' - 'aggmtranstype') FROM pg_aggregate a WHERE aggfnoid >= 16384""",
    "type": """SELECT format('%s %s %s %s len %s byval %s category %s preferred %s delim %s align %s storage %s notnull %s base %s mod %s dims %s collation %s default %s owner %s acl %s sub %s in %s out %s', oid::regtype, typtype, typisdefined, typrelid <> 0, typlen, typbyval, typcategory, typispreferred, typdelim, typalign,
          typstorage, typnotnull, typbasetype::regtype, typtypmod, typndims, typcollation::regcollation, typdefault, typowner::regrole, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(typacl, acldefault('T', typowner))) a), typsubscript, typinput, typoutput) FROM pg_type WHERE oid >= 16384 AND typnamespace::regnamespace::text !~ '^pg_(toast|temp)'""",
    "enum": "SELECT format('%s %s', enumtypid::regtype, array_agg(enumlabel ORDER BY enumsortorder)) FROM pg_enum GROUP BY enumtypid",
    "range": "SELECT format('%s', to_jsonb(r) - 'rngtypid' - 'rngsubtype' - 'rngmultitypid' - 'rngsubopc' - 'rngcollation') || rngtypid::regtype || rngsubtype::regtype || rngmultitypid::regtype || rngcollation::regcollation FROM pg_range r WHERE rngtypid >= 16384",
    "operator": "SELECT format('%s kind %s merge %s hash %s com %s neg %s code %s rest %s join %s owner %s', oid::regoperator, oprkind, oprcanmerge, oprcanhash, oprcom::regoperator, oprnegate::regoperator, oprcode, oprrest, oprjoin, oprowner::regrole) FROM pg_operator WHERE oid >= 16384",
    "operator class": "SELECT format('%s %s.%s default %s in %s key %s owner %s', (SELECT amname FROM pg_am a WHERE a.oid = opcmethod), opcnamespace::regnamespace, opcname, opcdefault, opcintype::regtype, opckeytype::regtype, opcowner::regrole) FROM pg_opclass WHERE oid >= 16384",
    "sequence": "SELECT format('%s %s', seqrelid::regclass, to_jsonb(s) - 'seqrelid' - 'seqtypid') || seqtypid::regtype FROM pg_sequence s",
    "statistics": "SELECT format('%s.%s target %s owner %s %s', stxnamespace::regnamespace, stxname, coalesce(stxstattarget, -1), stxowner::regrole, pg_get_statisticsobjdef(oid)) FROM pg_statistic_ext",
    "namespace": "SELECT format('%s owner %s acl %s', nspname, nspowner::regrole, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(nspacl, acldefault('n', nspowner))) a)) FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_' OR oid = 2200",
    "language": "SELECT format('%s owner %s trusted %s handler %s inline %s validator %s acl %s', lanname, lanowner::regrole, lanpltrusted, lanplcallfoid::regproc, laninline::regproc, lanvalidator::regproc, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(lanacl, acldefault('l', lanowner))) a)) FROM pg_language",
    "cast": "SELECT format('%s %s %s %s %s', castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod) FROM pg_cast WHERE oid >= 16384",
    "system object's acl": """SELECT format('%s %s', i.identity, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(acl) a)) FROM (
          SELECT 'pg_class'::regclass AS class, oid, relacl AS acl FROM pg_class WHERE oid < 16384 UNION ALL
          SELECT 'pg_proc'::regclass, oid, proacl FROM pg_proc WHERE oid < 16384) x, pg_identify_object(class, x.oid, 0) i WHERE acl IS NOT NULL""",
    "foreign": """SELECT format('wrapper %s owner %s %s %s options %s acl %s', fdwname, fdwowner::regrole, fdwhandler::regproc, fdwvalidator::regproc, fdwoptions, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(fdwacl, acldefault('F', fdwowner))) a)) FROM pg_foreign_data_wrapper UNION ALL
          SELECT format('server %s owner %s %s %s %s acl %s', srvname, srvowner::regrole, srvtype, srvversion, (SELECT array_agg(o ORDER BY o) FROM unnest(srvoptions) o), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(srvacl, acldefault('S', srvowner))) a)) FROM pg_foreign_server UNION ALL
          SELECT format('mapping %s %s %s', srvname, usename, (SELECT array_agg(o ORDER BY o) FROM unnest(umoptions) o)) FROM pg_user_mappings UNION ALL
          SELECT format('table %s server %s %s', ftrelid::regclass, s.srvname, ftoptions) FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver""",
    "text search": """SELECT format('dictionary %s owner %s options %s', dictname, dictowner::regrole, dictinitoption) FROM pg_ts_dict WHERE oid >= 16384 UNION ALL
          SELECT format('configuration %s %s %s %s', mapcfg::regconfig, maptokentype, mapseqno, mapdict::regdictionary) FROM pg_ts_config_map WHERE mapcfg >= 16384""",
    "large object": "SELECT format('%s owner %s acl %s', oid, lomowner::regrole, lomacl) FROM pg_largeobject_metadata",
    "event trigger": "SELECT format('%s %s %s %s %s', evtname, evtevent, evtenabled, evttags, evtfoid::regproc) FROM pg_event_trigger",
    "default privilege": "SELECT format('%s %s %s %s', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(defaclacl) a)) FROM pg_default_acl",
    "extension": "SELECT format('%s %s %s %s', extname, extversion, extnamespace::regnamespace, extrelocatable) FROM pg_extension",
    "publication": "SELECT (to_jsonb(p) - 'oid' - 'pubowner')::text FROM pg_publication p",
    "dependency": """SELECT format('%s %s on %s %s by %s', a.type, a.identity, b.type, b.identity, deptype) FROM pg_depend,
          pg_identify_object(classid, objid, objsubid) a, pg_identify_object(refclassid, refobjid, refobjsubid) b
          WHERE objid >= 16384 AND a.type <> 'trigger' AND (classid, objid) NOT IN (SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conparentid <> 0)
          AND (refclassid, refobjid) NOT IN (SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conparentid <> 0) AND a.identity !~ 'pg_(toast|temp)' AND b.identity !~ 'pg_(toast|temp)'""",
}


def facts(database: Target) -> dict[str, Counter[str]]:
    """All of it, by kind."""
    return {
        kind: Counter(
            str(fact) for (fact,) in execute(database, f"SET search_path = ''; SET timezone = 'UTC'; {query}")
        )
        for kind, query in QUERIES.items()
    }
