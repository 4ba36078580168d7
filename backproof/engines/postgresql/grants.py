"""The exact SQL that lets a role back up a database, and restore it: every line is needed, and no more than they are.

``pg_read_all_data`` covers tables that somebody makes tomorrow and leaves no trace in the database's own privileges,
which would come back with every restore. It does read all that its holder can connect to, password verifiers included:
the text says so. It does not cover large objects, nor rows that policies hide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import cursor as Cursor

from backproof.engines import Grants
from backproof.engines.postgresql.connect import connected, quote_ident, quote_literal
from backproof.errors import BackproofError
from backproof.records import Target

DEFAULT_PRIVILEGES_FOR_LARGE_OBJECTS = 18
"""The first major version that has them."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What the database asks of a role; the defaults are for a server that can't be asked."""

    major: int = 0
    connect: bool = True
    policies: bool = True
    large_objects: bool = True
    large_object_owners: Sequence[str] = ()
    owners: Sequence[str] = ()
    """Whom its objects belong to, superusers aside."""
    superuser_objects: Sequence[str] = ()
    """Kinds of objects in it that only a superuser can make."""
    unknown: str = ""
    """Why the server could not be asked."""


def grants(target: Target) -> Grants:
    """Least-privilege SQL for ``target.user`` on ``target.database``, to be run there by a superuser.

    Reads the server for what is needed; where it can't be asked, such as before the role exists, everything that may be
    needed is printed, and so is the reason.
    """
    try:
        with connected(target, application_name="backproof grants") as connection, connection.cursor() as cursor:
            needs = _asked(cursor)
    except BackproofError as error:
        needs = _Needs(unknown=error.fact)
    return Grants(backup=_backup(target, needs), restore=_restore(target, needs))


def _backup(target: Target, needs: _Needs) -> str:
    role, database = quote_ident(target.user), quote_ident(target.database)
    lines = [*_opening(target, needs, "back it up")]
    if needs.connect:
        lines += [f"GRANT CONNECT ON DATABASE {database} TO {role};"]
    lines += [
        "-- Reads every table and sequence, also later ones; and, in every database the role may connect to, the",
        "-- system catalogues with their password verifiers: guard its password like a superuser's.",
        f"GRANT pg_read_all_data TO {role};",
    ]
    if needs.policies:
        lines += ["-- Row-level security hides rows; a backup holds all.", f"ALTER ROLE {role} BYPASSRLS;"]
    if needs.large_objects:
        lines += _large_objects(role, needs)
    lines += ["-- Not needed, but preflight then sees long transactions:", f"-- GRANT pg_read_all_stats TO {role};"]
    return "\n".join(lines) + "\n"


def _large_objects(role: str, needs: _Needs) -> list[str]:
    lines = [
        "-- Large objects: pg_read_all_data does not cover them.",
        "DO $$ DECLARE id oid; BEGIN",
        "  FOR id IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP",
        f"    EXECUTE pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO %I', id, {_text(role)});",
        "  END LOOP;",
        "END $$;",
    ]
    if needs.major >= DEFAULT_PRIVILEGES_FOR_LARGE_OBJECTS:
        return lines + [
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {quote_ident(owner)} GRANT SELECT ON LARGE OBJECTS TO {role};"
            for owner in needs.large_object_owners
        ]
    return [*lines, "-- Run this again when there are new ones: before PostgreSQL 18 no default covers them."]


def _restore(target: Target, needs: _Needs) -> str:
    role = quote_ident(target.user)
    lines = [*_opening(target, needs, "restore it"), f"ALTER ROLE {role} CREATEDB;"]
    if needs.superuser_objects:
        lines += [
            f"-- Only a superuser can make what this database holds: {', '.join(needs.superuser_objects)}.",
            f"ALTER ROLE {role} SUPERUSER;",
        ]
    elif needs.owners:
        lines += ["-- To make objects for the roles that own them."]
        lines += [f"GRANT {quote_ident(owner)} TO {role};" for owner in needs.owners]
    return "\n".join(lines) + "\n"


def _opening(target: Target, needs: _Needs, purpose: str) -> list[str]:
    role = quote_ident(target.user)
    lines = [f"-- As a superuser, in database {quote_ident(target.database)}: what {role} needs to {purpose}."]
    if needs.unknown:
        lines += [
            f"-- The server could not be asked: {' '.join(needs.unknown.split())}.",
            "-- So this is all that may be needed; ask again when the role can connect.",
            f"-- CREATE ROLE {role};   unless it is there already, where a recovery has made it",
            f"-- ALTER ROLE {role} LOGIN;   then set its password with psql's \\password",
        ]
    return lines


def _asked(cursor: Cursor) -> _Needs:
    cursor.execute("SET search_path = pg_catalog")
    return _Needs(
        major=_value(cursor, "SELECT current_setting('server_version_num')::int / 10000"),
        connect=not _value(cursor, _PUBLIC_MAY_CONNECT),
        policies=_value(cursor, "SELECT EXISTS (SELECT FROM pg_class WHERE relrowsecurity AND relkind IN ('r', 'p'))"),
        large_objects=_value(cursor, "SELECT EXISTS (SELECT FROM pg_largeobject_metadata)"),
        large_object_owners=_value(cursor, _LARGE_OBJECT_OWNERS),
        owners=_value(cursor, _OWNERS),
        superuser_objects=_value(cursor, _SUPERUSER_OBJECTS),
    )


def _value(cursor: Cursor, query: str) -> Any:
    cursor.execute(query)
    row = cursor.fetchone()
    return row[0] if row else None


def _text(identifier: str) -> str:
    """The name in an identifier, as a literal inside a dollar-quoted body."""
    name = identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier
    return quote_literal(name)


_PUBLIC_MAY_CONNECT = """
SELECT EXISTS (SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS granted
               WHERE datname = current_database() AND granted.grantee = 0 AND granted.privilege_type = 'CONNECT')
"""

_LARGE_OBJECT_OWNERS = """
SELECT coalesce(array_agg(DISTINCT rolname::text), '{}')
FROM pg_largeobject_metadata JOIN pg_roles ON pg_roles.oid = lomowner
"""

_OWNERS = """
SELECT coalesce(array_agg(DISTINCT rolname::text), '{}')
FROM pg_database d JOIN pg_shdepend s
  ON s.dbid = d.oid OR s.classid = 'pg_database'::regclass AND s.objid = d.oid
JOIN pg_roles r ON r.oid = s.refobjid
WHERE d.datname = current_database() AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
  AND NOT r.rolsuper AND r.rolname <> current_user AND r.rolname !~ '^pg_'
"""

_SUPERUSER_OBJECTS = """
WITH members AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
owned (class, id, owner, namespace) AS (
    SELECT 'pg_class'::regclass, oid, relowner, relnamespace FROM pg_class WHERE relkind IN ('r','p','v','m','S','f')
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, pronamespace FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, typowner, typnamespace FROM pg_type WHERE typtype IN ('d', 'e', 'r')
    UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, NULL FROM pg_namespace WHERE nspname !~ '^pg_'
),
made (kind, class, id) AS (
    SELECT 'what belongs to superusers', class, id FROM owned JOIN pg_roles r ON r.oid = owner WHERE r.rolsuper
    UNION ALL SELECT 'schemas of others than the owner of the database', class, id
    FROM owned, pg_database d WHERE d.datname = current_database() AND class = 'pg_namespace'::regclass
        AND NOT pg_has_role(owner, d.datdba, 'USAGE')
    UNION ALL SELECT 'objects in schemas of others', class, id
    FROM owned JOIN pg_namespace n ON n.oid = namespace WHERE NOT pg_has_role(owner, n.nspowner, 'USAGE')
    UNION ALL SELECT 'event triggers', 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
    UNION ALL SELECT 'publications of all tables or of schemas', 'pg_publication'::regclass, oid FROM pg_publication
    WHERE puballtables OR EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = pg_publication.oid)
    UNION ALL SELECT 'subscriptions', 'pg_subscription'::regclass, s.oid
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()
    UNION ALL SELECT 'functions in untrusted languages or leakproof', 'pg_proc'::regclass, p.oid
    FROM pg_proc p JOIN pg_language l ON l.oid = prolang
    WHERE proleakproof OR NOT lanpltrusted AND lanname <> 'sql' AND prokind <> 'a'
    UNION ALL SELECT 'base types', 'pg_type'::regclass, oid FROM pg_type WHERE typtype = 'b' AND typcategory <> 'A'
    UNION ALL SELECT 'operator classes', 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'operator families', 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'access methods', 'pg_am'::regclass, oid FROM pg_am
    UNION ALL SELECT 'foreign-data wrappers', 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'casts without a function', 'pg_cast'::regclass, oid FROM pg_cast WHERE castmethod = 'b'
    UNION ALL SELECT 'text search parsers or templates', 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
    UNION ALL SELECT 'text search parsers or templates', 'pg_ts_template'::regclass, oid FROM pg_ts_template
    UNION ALL SELECT 'extensions that are not trusted', 'pg_extension'::regclass, e.oid
    FROM pg_extension e JOIN pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion
    WHERE v.superuser AND NOT v.trusted
)
SELECT coalesce(array_agg(DISTINCT kind), '{}') FROM made
WHERE id >= 16384 AND (class, id) NOT IN (SELECT classid, objid FROM members)
"""
"""What initdb made has lower numbers; members come with their extension."""
