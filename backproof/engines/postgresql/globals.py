"""What a database is beside its SQL stream: read from the catalogue at the dump's consistent point, as plain JSON.

Three parts, for what is compared after a round trip must be told from what may differ between two servers:

``settings``: what it takes to create an empty database that fits; comes back equal.
    ``encoding``, ``locale_provider`` (``libc``, ``icu``, ``builtin``), ``collate``, ``ctype``, ``locale`` (of ICU and
    the builtin provider, else null), ``icu_rules`` (or null), ``public_schema`` (false where it was dropped: an empty
    database has it, and a dump does not say that it should not).
``globals``: what has to be applied by hand; comes back equal.
    ``owner``; ``acl``: [{grantee, privilege, grantable}] with PostgreSQL's default written out, ``PUBLIC`` for all;
    ``connection_limit`` (-1: none); ``comment`` (or null); ``security_labels``: {provider: label};
    ``settings``: {name: value} of ALTER DATABASE … SET; ``role_settings``: {role: {name: value}} of ALTER ROLE … IN
    DATABASE; ``roles``: {name: {member_of: [{role, admin, inherit, set}]}} for every role that an object of the
    database needs (owner, grantee, of a policy, of a default privilege) and those it is a member of, ``inherit`` and
    ``set`` null before 16; ``tablespaces``: names that relations ask for.
``server``: what may differ elsewhere; for people, and for whoever creates what is missing.
    ``system_identifier`` (null where it may not be read), ``lsn``, ``in_recovery``, ``database_oid``, ``tablespace``,
    ``collation_version`` (recorded) and ``collation_version_actual``, ``extensions``: {name: version},
    ``extension_members``: {extension: {member: digest of what may be changed in it}},
    ``role_attributes``: {role: {superuser, createrole, createdb, login, replication, bypassrls, inherit,
    connection_limit, valid_until}}, ``parameters``: {name: value} of the server. Never a password.
"""
# ruff: noqa: S608 - the SQL is put together from texts of this module; values travel as parameters

from typing import Any

from pydantic import JsonValue

from backproof.engines.postgresql.extensions import MEMBERS, by_extension
from backproof.engines.postgresql.point import Point

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}

_DATABASE = "pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"

_PARAMETERS = (
    "server_version",
    "server_version_num",
    "block_size",
    "data_checksums",
    "default_table_access_method",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "max_connections",
    "max_locks_per_transaction",
    "shared_preload_libraries",
    "TimeZone",
    "wal_level",
)

_ATTRIBUTES = {
    "superuser": "rolsuper",
    "createrole": "rolcreaterole",
    "createdb": "rolcreatedb",
    "login": "rolcanlogin",
    "replication": "rolreplication",
    "bypassrls": "rolbypassrls",
    "inherit": "rolinherit",
    "connection_limit": "rolconnlimit",
    "valid_until": "rolvaliduntil::text",
}

# Every catalogue with an owner: (catalogue, owner column, ACL column or NULL).
_OWNED = (
    ("pg_class", "relowner", "relacl"),
    ("pg_proc", "proowner", "proacl"),
    ("pg_type", "typowner", "typacl"),
    ("pg_namespace", "nspowner", "nspacl"),
    ("pg_language", "lanowner", "lanacl"),
    ("pg_foreign_data_wrapper", "fdwowner", "fdwacl"),
    ("pg_foreign_server", "srvowner", "srvacl"),
    ("pg_largeobject_metadata", "lomowner", "lomacl"),
    ("pg_operator", "oprowner", "NULL"),
    ("pg_opclass", "opcowner", "NULL"),
    ("pg_opfamily", "opfowner", "NULL"),
    ("pg_conversion", "conowner", "NULL"),
    ("pg_collation", "collowner", "NULL"),
    ("pg_ts_config", "cfgowner", "NULL"),
    ("pg_ts_dict", "dictowner", "NULL"),
    ("pg_statistic_ext", "stxowner", "NULL"),
    ("pg_publication", "pubowner", "NULL"),
    ("pg_event_trigger", "evtowner", "NULL"),
)

_OBJECTS = " UNION ALL ".join(
    f"SELECT '{catalogue}'::regclass AS class, oid, {owner} AS owner, {acl}::aclitem[] AS acl FROM {catalogue}"
    for catalogue, owner, acl in _OWNED
)

# An extension's and the system's own objects belong to whoever installed them; only what was granted on them counts.
_ROLES = f"""
    WITH RECURSIVE object AS ({_OBJECTS}),
    mine AS (
        SELECT o.*, (o.oid >= 16384 OR (o.class = 'pg_namespace'::regclass AND o.oid = 2200)) AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.objsubid = 0
              AND d.deptype = 'e') AS own
        FROM object o WHERE o.class <> 'pg_class'::regclass OR NOT EXISTS (
            SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = o.oid AND n.nspname ~ '^pg_(toast|temp)')),
    used AS (
        SELECT owner AS role FROM mine WHERE own
        UNION SELECT e.grantee FROM mine, aclexplode(acl) e WHERE own OR (e.grantee <> owner AND e.grantee <> 10)
        UNION SELECT e.grantee FROM pg_attribute a, aclexplode(a.attacl) e WHERE e.grantee <> 10
        UNION SELECT r FROM pg_policy, unnest(polroles) r
        UNION SELECT defaclrole FROM pg_default_acl
        UNION SELECT e.grantee FROM pg_default_acl, aclexplode(defaclacl) e
        UNION SELECT umuser FROM pg_user_mappings
        UNION SELECT setrole FROM pg_db_role_setting s JOIN pg_database b ON b.oid = s.setdatabase
              WHERE b.datname = current_database()
        UNION SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()
        UNION SELECT e.grantee FROM pg_database d, aclexplode(d.datacl) e WHERE d.datname = current_database()
    ),
    closure AS (
        SELECT role FROM used WHERE role <> 0
        UNION SELECT m.roleid FROM closure JOIN pg_auth_members m ON m.member = closure.role
    )
    SELECT r.oid, r.rolname FROM closure JOIN pg_roles r ON r.oid = closure.role
    WHERE r.rolname !~ '^pg_' ORDER BY r.rolname
"""


def read_settings(point: Point) -> dict[str, JsonValue]:
    """What CREATE DATABASE needs."""
    version = point.connection.server_version // 10000
    locale = "datlocale" if version >= 17 else "daticulocale"
    rules = "daticurules" if version >= 16 else "NULL"
    ((encoding, provider, collate, ctype, icu, icu_rules, public),) = point.rows(
        "SELECT pg_catalog.pg_encoding_to_char(encoding), datlocprovider::text, datcollate, datctype,"
        f" {locale}, {rules}, EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public') FROM {_DATABASE}"
    )
    return {
        "encoding": encoding,
        "locale_provider": _PROVIDERS.get(provider, provider),
        "collate": collate,
        "ctype": ctype,
        "locale": icu,
        "icu_rules": icu_rules,
        "public_schema": public,
    }


def read_globals(point: Point) -> dict[str, JsonValue]:
    """What the dump does not carry and a restore applies by hand."""
    ((owner, limit, comment),) = point.rows(
        "SELECT pg_catalog.pg_get_userbyid(datdba), datconnlimit,"
        f" pg_catalog.shobj_description(d.oid, 'pg_database') FROM {_DATABASE}"
    )
    settings = _settings(point)
    return {
        "owner": owner,
        "acl": _acl(point),
        "connection_limit": limit,
        "comment": comment,
        "security_labels": _pairs(
            point,
            "SELECT provider, label FROM pg_catalog.pg_shseclabel s JOIN pg_catalog.pg_database b ON b.oid = s.objoid"
            " WHERE s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass"
            " AND b.datname = pg_catalog.current_database() ORDER BY 1",
        ),
        "settings": settings.pop("", {}),
        "role_settings": settings,
        "roles": _roles(point),
        "tablespaces": [
            name
            for (name,) in point.rows(
                "SELECT DISTINCT t.spcname::text FROM pg_catalog.pg_class c"
                " JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace"
                " WHERE t.spcname !~ '^pg_' ORDER BY 1"
            )
        ],
    }


def read_server_facts(point: Point) -> dict[str, JsonValue]:
    """What may differ on another server."""
    recovering = "pg_catalog.pg_is_in_recovery()"
    ((in_recovery, lsn, oid, tablespace, recorded, actual),) = point.rows(
        f"SELECT {recovering}, (CASE WHEN {recovering} THEN pg_catalog.pg_last_wal_replay_lsn()"
        " ELSE pg_catalog.pg_current_wal_insert_lsn() END)::text, d.oid::bigint, t.spcname::text, d.datcollversion,"
        " pg_catalog.pg_database_collation_actual_version(d.oid)"
        " FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace"
        " WHERE d.datname = pg_catalog.current_database()"
    )
    return {
        "system_identifier": _system_identifier(point),
        "lsn": lsn,
        "in_recovery": in_recovery,
        "database_oid": oid,
        "tablespace": tablespace,
        "collation_version": recorded,
        "collation_version_actual": actual,
        "extensions": _pairs(point, "SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY 1"),
        "extension_members": by_extension(point.rows(MEMBERS)),
        "role_attributes": _role_attributes(point),
        "parameters": _pairs(
            point,
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s) ORDER BY 1",
            list(_PARAMETERS),
        ),
    }


def _system_identifier(point: Point) -> str | None:
    ((allowed,),) = point.rows("SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")
    if not allowed:
        return None
    ((identifier,),) = point.rows("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
    return str(identifier)


def _acl(point: Point) -> list[JsonValue]:
    # An ACL that was never touched means the default; written out, it compares with one that was granted anew.
    rows = point.rows(
        "SELECT CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(e.grantee)::text END,"
        " e.privilege_type, pg_catalog.bool_or(e.is_grantable) FROM pg_catalog.pg_database d,"
        " pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) e"
        " WHERE d.datname = pg_catalog.current_database() GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [dict(zip(("grantee", "privilege", "grantable"), row, strict=True)) for row in rows]


def _settings(point: Point) -> dict[str, JsonValue]:
    """Role, or nothing for all of them, to its settings in this database."""
    found: dict[str, JsonValue] = {}
    for role, configuration in point.rows(
        "SELECT coalesce(r.rolname::text, ''), s.setconfig FROM pg_catalog.pg_db_role_setting s"
        " JOIN pg_catalog.pg_database b ON b.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"
        " WHERE b.datname = pg_catalog.current_database() ORDER BY 1"
    ):
        found[role] = dict(sorted(item.split("=", 1) for item in configuration))
    return found


def _roles(point: Point) -> dict[str, JsonValue]:
    roles: dict[str, list[JsonValue]] = {name: [] for _, name in _used_roles(point)}
    options = (
        "m.inherit_option, m.set_option" if point.connection.server_version >= 160000 else "NULL::bool, NULL::bool"
    )
    # The same membership may have been granted by several roles.
    for member, role, admin, inherit, may_set in point.rows(
        "SELECT u.rolname::text, g.rolname::text, bool_or(admin), bool_or(inherit), bool_or(may_set) FROM"
        f" (SELECT m.member, m.roleid, m.admin_option, {options} FROM pg_catalog.pg_auth_members m)"
        " AS x(member, roleid, admin, inherit, may_set)"
        " JOIN pg_catalog.pg_roles u ON u.oid = x.member JOIN pg_catalog.pg_roles g ON g.oid = x.roleid"
        " WHERE u.rolname = ANY (%s) GROUP BY 1, 2 ORDER BY 1, 2",
        [list(roles)],
    ):
        roles[member].append({"role": role, "admin": admin, "inherit": inherit, "set": may_set})
    return {name: {"member_of": member_of} for name, member_of in roles.items()}


def _role_attributes(point: Point) -> dict[str, JsonValue]:
    columns = ", ".join(f"'{name}', {column}" for name, column in _ATTRIBUTES.items())
    return _pairs(
        point,
        f"SELECT rolname::text, pg_catalog.json_build_object({columns}) FROM pg_catalog.pg_roles"
        " WHERE rolname = ANY (%s) ORDER BY 1",
        [name for _, name in _used_roles(point)],
    )


def _used_roles(point: Point) -> list[tuple[Any, ...]]:

    return point.rows(_ROLES)


def _pairs(point: Point, sql: str, *parameters: Any) -> dict[str, JsonValue]:
    return dict(point.rows(sql, parameters))
