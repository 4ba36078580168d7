"""What extensions consist of. A dump only says CREATE EXTENSION: what was changed in one by hand does not come back.

So each member is kept with a digest of what may be changed in it, and held against what was made anew.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from psycopg2.extensions import cursor as Cursor
from pydantic import JsonValue

from backproof.records import Manifest

_NAMED_AT_MOST = 10

# Names as ASCII, for what a database in SQL_ASCII holds need not be text anywhere else. Owners and grants are dumped.
MEMBERS = """
    SELECT e.extname::text,
        encode(convert_to(i.type || ' ' || i.identity, current_setting('server_encoding')), 'escape'),
        left(md5(coalesce(CASE d.classid
            WHEN 'pg_proc'::regclass THEN (
                SELECT concat_ws(' ', prosrc, prokind, provolatile, proparallel, prosecdef, proleakproof, proisstrict,
                    procost, prorows, proconfig) FROM pg_proc WHERE oid = d.objid)
            WHEN 'pg_class'::regclass THEN (
                SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull), ','
                    ORDER BY attnum) || coalesce(pg_get_viewdef(d.objid), '')
                FROM pg_attribute WHERE attrelid = d.objid AND attnum > 0 AND NOT attisdropped)
            WHEN 'pg_ts_dict'::regclass THEN (SELECT dictinitoption FROM pg_ts_dict WHERE oid = d.objid)
            WHEN 'pg_ts_config'::regclass THEN (
                SELECT string_agg(concat_ws(' ', maptokentype, mapseqno, mapdict::regdictionary), ','
                    ORDER BY maptokentype, mapseqno) FROM pg_ts_config_map WHERE mapcfg = d.objid)
            WHEN 'pg_foreign_data_wrapper'::regclass THEN (
                SELECT fdwoptions::text FROM pg_foreign_data_wrapper WHERE oid = d.objid)
            END, '')), 16)
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid, pg_identify_object(d.classid, d.objid, 0) i
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND i.identity IS NOT NULL
"""
"""Extension, member, digest; to be asked with ``search_path = pg_catalog``."""


def by_extension(rows: list[tuple[Any, ...]]) -> dict[str, JsonValue]:
    """Extension to member to digest."""
    found: dict[str, dict[str, JsonValue]] = {}
    for extension, member, digest in rows:
        found.setdefault(extension, {})[member] = digest
    return dict(found)


def not_as_recorded(cursor: Cursor, manifest: Manifest) -> Iterator[str]:
    """What the database of ``cursor`` lacks of the extensions of the backup's, a sentence each."""
    recorded = manifest.database.server.get("extension_members")
    versions = manifest.database.server.get("extensions")
    if not isinstance(recorded, Mapping) or not isinstance(versions, Mapping):
        return  # a backup from before they were kept
    cursor.execute("SET search_path = pg_catalog")
    cursor.execute("SELECT extname::text, extversion FROM pg_catalog.pg_extension")
    present = dict(cursor.fetchall())
    cursor.execute(MEMBERS)
    made = by_extension(cursor.fetchall())
    for extension, members in sorted(recorded.items()):
        if extension not in present or not isinstance(members, Mapping):
            continue
        if present[extension] != versions.get(extension):
            here, there = present[extension], versions.get(extension)
            yield f"extension {extension} was restored in version {here}; it was {there} in the database"
            continue
        again = made.get(extension)
        yield from _changed(extension, members, again if isinstance(again, Mapping) else {})


def _changed(extension: str, members: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    found = [
        f"the {member} was added to extension {extension} and did not come back: a dump leaves an extension's own out"
        for member in sorted(members.keys() - made.keys())
    ]
    found += [
        f"the {member} was changed by hand and came back as its extension {extension} makes it"
        for member in sorted(members.keys() & made.keys())
        if members[member] != made[member]
    ]
    yield from found[:_NAMED_AT_MOST]
    if len(found) > _NAMED_AT_MOST:
        yield f"{len(found) - _NAMED_AT_MOST} more objects of extension {extension} did not come back as they were"
